//! An endpoint that was away may be another node when it is back: it is asked who it is before anything else.

use bytes::Bytes;

use super::{Endpoint, Router};
use crate::engine::chain::flights::Flown;
use crate::engine::chain::identity::recognise;
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Phase, Result};

/// Whether `error` leaves it open who answers next.
pub(super) const fn is_away(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::ChainConnection
            | Kind::ConnectTimeout
            | Kind::ConnectionClosed
            | Kind::Tls
            | Kind::ChainMismatch
    )
}

/// What kept an endpoint from saying who it is: nothing else was sent to it.
pub(super) fn not_sent(error: Error) -> Error {
    match error.kind() {
        Kind::ConnectionClosed | Kind::Protocol | Kind::HttpStatus | Kind::Rpc => {
            error.as_kind(Kind::ChainConnection)
        }
        _ => error,
    }
}

impl Router {
    /// Make sure that an endpoint is who it was, if that is in doubt. Who asks at the same time asks once.
    pub(in crate::engine::chain) async fn be_sure_of(&self, endpoint: &Endpoint, call: &Call) -> Result<()> {
        if !endpoint.is_doubted() {
            return Ok(());
        }
        let recognise = || async {
            let known = recognise(endpoint.pool(), &self.identity, &self.label, call).await;
            known.inspect(|()| endpoint.trust())
        };
        let place = endpoint.pool().stand_by()?;
        let ask = async {
            // It stands in line for a connection by itself.
            drop(place);
            (recognise().await.map(|()| Bytes::new()), true)
        };
        // As long as another asks.
        call.enter(Phase::Receive);
        match endpoint.questions().join(b"", ask).await {
            Flown::Own(known) | Flown::Shared(known) => known.map(drop),
            Flown::Alone => recognise().await,
        }
    }
}
