//! Connections without a socket that answer from a script: what is measured with them is the engine and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{BoxFuture, Dialer, Held, Message, Reply, Route, SendError, State, Transport};
use crate::engine::credentials::Access;
use crate::engine::deadline::Call;
use crate::engine::error::{Phase, Result};

/// What a connection makes of a request's body.
pub type Answer = dyn Fn(Bytes) -> BoxFuture<'static, std::result::Result<Reply, SendError>> + Send + Sync;

/// What the other side of every connection does.
#[derive(Clone)]
pub struct Script {
    /// Its answer.
    pub answer: Arc<Answer>,
    /// How many requests a connection carries at a time.
    pub streams: usize,
}

impl Dialer {
    /// A dialer that opens no socket: its connections do what `script` says, and end when they are cut.
    ///
    /// # Errors
    /// Those of `new`.
    pub fn scripted(route: Route, script: Script) -> Result<Self> {
        Ok(Self { script: Some(script), ..Self::new(route)? })
    }
}

struct Scripted {
    script: Script,
    /// Has no permits and is closed with the connection.
    end: Semaphore,
    _held: Held,
}

pub(super) fn open(script: &Script, held: Held) -> Arc<dyn Transport> {
    Arc::new(Scripted { script: script.clone(), end: Semaphore::new(0), _held: held })
}

impl Transport for Scripted {
    fn send<'a>(
        &'a self,
        message: Message,
        _renewed: Option<&'a Access>,
        call: &'a Call,
    ) -> BoxFuture<'a, std::result::Result<Reply, SendError>> {
        call.enter(Phase::Receive);
        (self.script.answer)(message.body)
    }

    fn state(&self) -> State {
        if self.end.is_closed() { State::Closed } else { State::Open }
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // The only way in which this wait can end.
            let _ = self.end.acquire().await;
        })
    }

    fn streams(&self) -> usize {
        self.script.streams
    }

    fn cut(&self) {
        self.end.close();
    }
}
