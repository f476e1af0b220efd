//! HTTP/1.1: one exchange at a time, on a connection that is driven by a task of its own.
//!
//! Driving it from within the exchange saves nothing: the connection is then polled once more at each end, to hand it
//! over to whoever watches for its end in between.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use super::template::Template;
use super::{handshake_failed, not_sent};
use crate::engine::credentials::Access;
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Phase, Result};
use crate::engine::transport::body::{self, Reply};
use crate::engine::transport::life::{Ending, Life};
use crate::engine::transport::socket::Stuck;
use crate::engine::transport::{BoxFuture, Message, Route, SendError, State, Transport};

struct Single {
    /// The lock is the place in line, and is kept until the answer is read.
    sender: Mutex<http1::SendRequest<Full<Bytes>>>,
    template: Arc<Template>,
    max_response_bytes: usize,
    life: Arc<Life>,
    stuck: Stuck,
    driver: AbortHandle,
}

pub(super) async fn open(
    route: &Route,
    template: &Arc<Template>,
    io: impl Read + Write + Unpin + Send + 'static,
    life: Arc<Life>,
    stuck: Stuck,
    closed: impl FnOnce() + Send + 'static,
) -> Result<Arc<dyn Transport>> {
    let (sender, connection) = http1::handshake(io).await.map_err(|_| handshake_failed(route))?;
    let driver = Ending::new(&life, closed).after(connection);
    let (template, max_response_bytes) = (Arc::clone(template), route.max_response_bytes);
    Ok(Arc::new(Single { sender: Mutex::new(sender), template, max_response_bytes, life, stuck, driver }))
}

/// Cuts a connection whose exchange was given up: what would come next on it is the old answer.
struct Exchange<'a> {
    single: &'a Single,
    call: &'a Call,
    done: bool,
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.done {
            if self.single.stuck.is_set() {
                // The node does not read: what took the time was the request.
                self.call.enter(Phase::Send);
            }
            self.single.life.soil();
            self.single.driver.abort();
        }
    }
}

impl Single {
    async fn exchange(
        &self,
        body: Bytes,
        renewed: Option<&Access>,
        call: &Call,
    ) -> std::result::Result<Reply, SendError> {
        call.enter(Phase::Send);
        let request = self.template.stamp(body, renewed).map_err(SendError::Failed)?;
        // Nearly always free, and then nothing needs to be made for a wait.
        let mut sender = match self.sender.try_lock() {
            Ok(sender) => sender,
            Err(_) => self.sender.lock().await,
        };
        sender.ready().await.map_err(|_| SendError::NotSent)?;
        let mut exchange = Exchange { single: self, call, done: false };
        let response = sender.try_send_request(request);
        call.enter(Phase::Receive);
        let response = match response.await {
            Ok(response) => response,
            Err(error) => {
                // It was not given up here but ended there.
                exchange.done = true;
                let error = not_sent(error);
                if !matches!(error, SendError::NotSent) {
                    self.life.break_off();
                }
                self.cut();
                return Err(error);
            }
        };
        let cut_off = || self.life.break_off();
        let reply = body::collect(response, self.max_response_bytes, call, cut_off).await?;
        exchange.done = true;
        Ok(reply)
    }
}

impl Transport for Single {
    fn send<'a>(
        &'a self,
        message: Message,
        renewed: Option<&'a Access>,
        call: &'a Call,
    ) -> BoxFuture<'a, std::result::Result<Reply, SendError>> {
        Box::pin(self.exchange(message.body, renewed, call))
    }

    fn state(&self) -> State {
        self.life.state()
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.life.closed())
    }

    fn last_words(&self) -> Option<Error> {
        self.life.last_words()
    }

    fn streams(&self) -> usize {
        1
    }

    fn cut(&self) {
        self.life.end();
        self.driver.abort();
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        self.cut();
    }
}
