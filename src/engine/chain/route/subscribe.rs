//! What stays with one endpoint: subscriptions at those that are sockets, and filters.

use bytes::Bytes;
use tokio::time::Instant;

use super::{NOTHING, Router};
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::Result;
use crate::engine::jsonrpc::Request;
use crate::engine::pool::Subscription;

impl Router {
    /// Whether any of its nodes can be subscribed to.
    pub(in crate::engine::chain) fn has_socket(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.pool().is_socket())
    }

    /// Subscribe with `request` at the endpoint that does best, or the next if that one does not; at the one that is to
    /// be `avoided` only when there is no other. Comes back with its place, too.
    pub(in crate::engine::chain) async fn subscribe(
        &self,
        request: &Request,
        avoided: Option<usize>,
    ) -> Result<(usize, Subscription)> {
        let unfit = |(place, endpoint): (usize, &super::Endpoint)| {
            !endpoint.pool().is_socket() || avoided == Some(place)
        };
        let mut tried: Vec<_> = self.endpoints.iter().enumerate().map(unfit).collect();
        let (mut last_resort, mut failure) = (avoided, None);
        loop {
            let picked = self.pick(NOTHING, &tried, Instant::now());
            let Some(place) = picked.or_else(|| last_resort.take()) else {
                return Err(failure.unwrap_or_else(|| self.nobody()));
            };
            tried[place] = true;
            match self.subscribe_at(place, request).await {
                Ok(subscription) => return Ok((place, subscription)),
                Err(error) => failure = Some(error),
            }
        }
    }

    async fn subscribe_at(&self, place: usize, request: &Request) -> Result<Subscription> {
        let endpoint = &self.endpoints[place];
        let call = Call::new(endpoint.pool().settings().request_timeout);
        let subscription = async {
            self.be_sure_of(endpoint, &call).await?;
            endpoint.pool().subscribe(request, Timeout::Default, &call).await
        };
        subscription.await.inspect_err(|error| {
            self.failed(place, request.method(), error, call.elapsed(), Instant::now());
        })
    }

    /// Make a call at the endpoint at this place, where something was made that no other knows.
    pub(in crate::engine::chain) async fn ask_at(&self, place: usize, request: &Request) -> Result<Bytes> {
        let endpoint = &self.endpoints[place];
        let call = Call::new(endpoint.pool().settings().request_timeout);
        let answer = async {
            self.be_sure_of(endpoint, &call).await?;
            endpoint.pool().request_within(request, Timeout::Of(None), &call).await
        };
        answer.await.inspect_err(|error| {
            self.failed(place, request.method(), error, call.elapsed(), Instant::now());
        })
    }

    /// The place of the endpoint that does best.
    pub(in crate::engine::chain) fn best(&self) -> Result<usize> {
        let best = self.pick(NOTHING, &vec![false; self.endpoints.len()], Instant::now());
        best.ok_or_else(|| self.nobody())
    }

    /// A subscription there has ended: who answers next may be another.
    pub(in crate::engine::chain) fn doubt(&self, place: usize) {
        if let Some(endpoint) = self.endpoints.get(place) {
            endpoint.doubt();
        }
    }

    /// The endpoint at this place tells that it has this block.
    pub(in crate::engine::chain) fn has_block(&self, place: usize, number: u64) {
        if let Some(endpoint) = self.endpoints.get(place) {
            endpoint.set_head(Some(number));
        }
    }
}
