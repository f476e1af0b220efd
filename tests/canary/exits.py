"""Every way in which something comes out of an object, an error, a record or what is told."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import io
import json
import logging
import logging.handlers
import marshal
import pickle
import pprint
import pydoc
import reprlib
import string
import sys
import traceback
import weakref
from asyncio import Task
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import genesis_replicator
from canary.life import formatted

PACKAGE = str(Path(genesis_replicator.__file__).parent)
Exit = Callable[[Any], object]


def attributes(value: object) -> str:
    """All that has a name, and what bound methods say of it."""
    found = []
    for name in dir(value):
        with contextlib.suppress(Exception):
            found.append(repr(getattr(value, name)))
    return "\n".join(found)


def refused(make: Callable[[], object]) -> object:
    """What is made, or the error that comes instead."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001
        return f"{error!r} {error.__cause__!r} {error.__context__!r}"


def referents(value: object) -> object:
    """What the collector sees inside. A callable that the user gave is the user's own."""
    return [one for one in gc.get_referents(value) if not callable(one)]


def printed(write: Callable[[io.StringIO], object]) -> str:
    """What is written to a file."""
    out = io.StringIO()
    write(out)
    return out.getvalue()


def stack_of(value: object) -> str:
    """The stack of a task, and the frame of a coroutine."""
    frame = getattr(value, "cr_frame", None)
    text = repr(getattr(frame, "f_locals", None)) + repr(getattr(value, "cr_await", None))
    return text + printed(lambda out: value.print_stack(file=out)) if isinstance(value, Task) else text


OBJECTS: dict[str, Exit] = {
    "str": str,
    "repr": repr,
    "ascii": ascii,
    "format": format,
    "f-string": lambda value: f"{value} {value!s} {value!r} {value!a}",
    "percent": lambda value: "%s %r %a" % (value, value, value),  # noqa: UP031
    "template": lambda value: string.Template("$value").substitute(value=value),
    "bytes": lambda value: refused(lambda: bytes(value)),
    "print": lambda value: printed(lambda out: print(value, [value], {"value": value}, file=out)),
    "pprint": pprint.pformat,
    "reprlib": reprlib.repr,
    "vars": lambda value: repr(refused(lambda: vars(value))),
    "attributes": attributes,
    "members": lambda value: repr(inspect.getmembers(value)),
    "class": lambda value: repr(vars(type(value))),
    "help": lambda value: pydoc.render_doc(type(value)),
    "hash and size": lambda value: f"{refused(partial(hash, value))} {sys.getsizeof(value)}",
    "pickle": lambda value: refused(lambda: pickle.dumps(value)),
    "pickle 0": lambda value: refused(lambda: pickle.dumps(value, 0)),
    "reduce": lambda value: refused(lambda: value.__reduce_ex__(4)),
    "state": lambda value: refused(value.__getstate__),
    "copy": lambda value: repr(refused(lambda: vars(copy.copy(value)))),
    "deep copy": lambda value: repr(refused(lambda: vars(copy.deepcopy(value)))),
    "json": lambda value: json.dumps(value, default=repr),
    "marshal": lambda value: refused(lambda: marshal.dumps(value)),
    "weak reference": lambda value: repr(refused(lambda: weakref.ref(value))),
    "partial": lambda value: repr(partial(print, value)),
    "list and dict": lambda value: f"{[value]} { ({'value': value}) } {(value,)}",
    "collector's view": lambda value: repr(referents(value)),
    "stack": stack_of,
    "log argument": lambda value: formatted([_record("%s %r", (value, value))]),
    "log extra": lambda value: repr(vars(_record("it", (), value=value))),
    "error around it": lambda value: repr(KeyError(value)) + str(ValueError("no", value)),
}


def there_and_back(error: BaseException) -> object:
    """The error as another process gets it."""
    return pickle.loads(pickle.dumps(error))  # noqa: S301


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what caused it, and the members of a group."""
    while error is not None:
        yield error
        for one in getattr(error, "exceptions", ()):
            yield from causes(one)
        error = error.__cause__ or error.__context__


def locals_of(error: BaseException) -> str:
    """What a report with local variables shows of the package's own frames."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    return repr([frame.locals for frame in report.stack if frame.filename.startswith(PACKAGE)])


def logged(error: BaseException, handler: logging.Handler) -> object:
    """The error as `Logger.exception` has it written."""
    info = (type(error), error, error.__traceback__)
    return handler.format(
        logging.LogRecord("app", logging.ERROR, __file__, 1, "it failed: %s", (error,), info)
    )


def by_hook(error: BaseException) -> str:
    """What is printed of an error that nobody catches."""
    out = io.StringIO()
    with contextlib.redirect_stderr(out):
        sys.__excepthook__(type(error), error, None)
    return out.getvalue()


ERRORS: dict[str, Exit] = {
    "error str": str,
    "error repr": repr,
    "error ascii": ascii,
    "error f-string": lambda error: f"{error} {error!r}",
    "error args": lambda error: repr(error.args),
    "error vars": lambda error: repr(vars(error)),
    "error attributes": attributes,
    "error details": lambda error: json.dumps(getattr(error, "details", {}), default=repr),
    "error data": lambda error: repr(getattr(error, "data", None)),
    "error notes": lambda error: repr(getattr(error, "__notes__", None)),
    "error cause": lambda error: repr(error.__cause__) + str(error.__cause__),
    "error context": lambda error: repr(error.__context__) + str(error.__context__),
    "error pickle": lambda error: refused(lambda: pickle.dumps(error, 0)),
    "error unpickled": lambda error: repr(refused(lambda: vars(there_and_back(error)))),
    "error reduce": lambda error: repr(refused(lambda: error.__reduce_ex__(4))),
    "error copy": lambda error: repr(refused(lambda: vars(copy.copy(error)))),
    "error deep copy": lambda error: repr(refused(lambda: vars(copy.deepcopy(error)))),
    "error traceback": lambda error: "".join(traceback.format_exception_only(error)),
    "error locals": locals_of,
    "error in a group": lambda error: (
        repr(ExceptionGroup("all", [error])) if isinstance(error, Exception) else ""
    ),
    "error raised from": lambda error: "".join(traceback.format_exception_only(_raised_from(error))),
    "error by excepthook": by_hook,
    "error logged": lambda error: logged(error.with_traceback(None), logging.StreamHandler()),
    "error in a queue of records": lambda error: vars(_prepared(error)),
}

RECORDS: dict[str, Exit] = {
    "record message": lambda record: record.getMessage(),
    "record fields": lambda record: repr(vars(record)),
    "record format": lambda record: record.msg % record.args if record.args else record.msg,
    "record printed": lambda record: formatted([record]),
    "record pickled": lambda record: refused(lambda: pickle.dumps(vars(record), 0)),
    "record to a socket": lambda record: logging.handlers.SocketHandler("127.0.0.1", 9).makePickle(record),
}

TOLD: dict[str, Exit] = {
    "told repr": repr,
    "told str": str,
    "told json": lambda told: json.dumps(told, default=repr),
    "told pickle": lambda told: pickle.dumps(told, 0),
    "told pretty": pprint.pformat,
}


def _record(message: str, arguments: tuple[object, ...], **extra: object) -> logging.LogRecord:
    return logging.getLogger("app").makeRecord("app", 20, __file__, 1, message, arguments, None, extra=extra)


def _raised_from(error: BaseException) -> RuntimeError:
    raised = RuntimeError(f"the bot failed: {error}")
    raised.__cause__ = error
    return raised


def _prepared(error: BaseException) -> logging.LogRecord:
    info = (type(error), error, None)
    record = logging.LogRecord("app", logging.ERROR, __file__, 1, "it failed: %s", (error,), info)
    return logging.handlers.QueueHandler(None).prepare(record)  # type: ignore[arg-type]
