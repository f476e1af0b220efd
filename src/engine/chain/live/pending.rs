//! Pending transactions where nodes have only HTTP: a filter at one of them, that is asked for changes.

use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::feed::Readers;
use super::patience::Patience;
use crate::engine::chain::route::Router;
use crate::engine::error::{Error, Result};
use crate::engine::jsonrpc::Request;
use crate::engine::metrics::Event;

/// How often changes are asked for: soon after there were some, and less and less often while there are none.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Give what comes to the readers; a filter that is gone is made anew, at another endpoint if need be. Comes back with
/// why that cannot be done any more.
pub(super) async fn feed(readers: &Readers) -> Error {
    let (mut patience, mut is_first) = (Patience::default(), true);
    loop {
        let (place, changes) = match filter(&readers.chain.router).await {
            Ok(made) => made,
            Err(error) => {
                readers.chain.live.note(Some(&error));
                if let Err(error) = patience.bear(error).await {
                    return error;
                }
                continue;
            }
        };
        if !std::mem::take(&mut is_first) {
            readers.chain.scopes().count(Event::Resubscribed);
        }
        readers.open();
        // What a node says that has forgotten a filter is different everywhere.
        if follow(readers, place, &changes).await {
            patience.restore();
        } else {
            patience.pause().await;
        }
    }
}

/// Make a filter: the place of its endpoint, and the call that asks for its changes.
async fn filter(router: &Router) -> Result<(usize, Request)> {
    let place = router.best()?;
    let answer = router.ask_at(place, &Request::bare("eth_newPendingTransactionFilter")).await?;
    Ok((place, Request::new("eth_getFilterChanges", [b"[", &*answer, b"]"].concat())?))
}

/// Tell what comes, until it cannot be asked for any more: whether it could be at all.
async fn follow(readers: &Readers, place: usize, changes: &Request) -> bool {
    let (mut pause, mut has_answered) = (SHORTEST, false);
    loop {
        let Ok(answer) = readers.chain.router.ask_at(place, changes).await else { return has_answered };
        let Ok(items) = serde_json::from_slice::<Vec<&RawValue>>(&answer) else { return has_answered };
        has_answered = true;
        pause = if items.is_empty() { (pause * 2).min(LONGEST) } else { SHORTEST };
        for item in items {
            readers.tell(&Bytes::copy_from_slice(item.get().as_bytes()));
        }
        sleep(pause).await;
    }
}
