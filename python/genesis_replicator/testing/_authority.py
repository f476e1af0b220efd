"""Certificates for tests: an authority that nobody trusts before it is named. Needs trustme."""

import datetime as dt
import ssl

from genesis_replicator.testing._extra import missing


class Authority:
    """A certificate authority of its own. Give its `pem` as `ca` to whoever shall trust it."""

    def __init__(self) -> None:
        """Make the authority and its key."""
        try:
            import trustme  # noqa: PLC0415  # only who wants certificates needs it
        except ModuleNotFoundError as error:
            raise missing(error) from error
        self._authority = trustme.CA()

    @property
    def pem(self) -> bytes:
        """Its certificate in PEM form."""
        return self._authority.cert_pem.bytes()

    def context(self, host: str = "127.0.0.1", *, expired: bool = False) -> ssl.SSLContext:
        """What a server needs to speak TLS, with a certificate for a host.

        Args:
            host: The name or address that the certificate is for.
            expired: Whether it was valid until yesterday.
        """
        yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        before = yesterday - dt.timedelta(days=1) if expired else None
        certificate = self._authority.issue_cert(
            host, not_before=before, not_after=yesterday if expired else None
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context
