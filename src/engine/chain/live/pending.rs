//! Pending transactions where nodes have only HTTP: a filter at one of them, that is asked for changes.

use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::feed::Readers;
use super::patience::{Patience, passes};
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::jsonrpc::Request;
use crate::engine::metrics::Event;
use crate::engine::pool::Pool;

/// How often changes are asked for: soon after there were some, and less and less often while there are none.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Give what comes to the readers, for ever; a filter that is gone is made anew, at another endpoint if need be.
pub(super) async fn feed(readers: &Readers) {
    let (mut patience, mut is_first) = (Patience::default(), true);
    loop {
        let error = match readers.chain.pick(|_| true) {
            Ok(pool) => match filter(pool).await {
                Ok(changes) => {
                    patience.restore();
                    readers.open();
                    if !std::mem::take(&mut is_first) {
                        readers.chain.scopes().count(Event::Resubscribed);
                    }
                    follow(readers, pool, &changes).await
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        readers.chain.live.note(Some(&error));
        // A filter that the node forgot is an error of a kind of its own at each node.
        let is_over = is_first && !passes(&error);
        if is_over {
            readers.fail(&error);
            return;
        }
        if patience.bear(error.clone()).await.is_err() {
            patience.pause().await;
        }
    }
}

/// Make a filter: the call that asks for its changes.
async fn filter(pool: &Pool) -> Result<Request> {
    let answer = ask(pool, &Request::bare("eth_newPendingTransactionFilter")).await?;
    Request::new("eth_getFilterChanges", [b"[", &*answer, b"]"].concat())
}

/// Tell what comes, until it cannot be asked for any more.
async fn follow(readers: &Readers, pool: &Pool, changes: &Request) -> Error {
    let mut pause = SHORTEST;
    loop {
        let answer = match ask(pool, changes).await {
            Ok(answer) => answer,
            Err(error) => return error,
        };
        let Ok(items) = serde_json::from_slice::<Vec<&RawValue>>(&answer) else {
            return Error::new(Kind::Protocol, "the answer to eth_getFilterChanges is no list");
        };
        pause = if items.is_empty() { (pause * 2).min(LONGEST) } else { SHORTEST };
        for item in items {
            readers.tell(&Bytes::copy_from_slice(item.get().as_bytes()));
        }
        sleep(pause).await;
    }
}

async fn ask(pool: &Pool, request: &Request) -> Result<Bytes> {
    pool.request_within(request, Timeout::Of(None), &Call::new(pool.settings().request_timeout)).await
}
