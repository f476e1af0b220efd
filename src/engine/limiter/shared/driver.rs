//! The task that fetches permits for one limiter: it asks when the line wants more than is there, settles leases that
//! end, and shows itself every few seconds, so that the others know how many they are.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::engine::limiter::fair::Line;
use crate::engine::limiter::window::Window;
use crate::engine::limiter::{RateLimiter, Shared};

use super::call::{Answer, Call, GRANT};
use super::health::{BEAT, Health, Outage, PRESENCE, asker};
use super::servers::{Connection, PATIENCE};
use super::stock::{Demand, Fallback, Stock, Wanted};
use super::{OnOutage, Sharing};

/// Where a shared limiter's permits come from.
pub(in crate::engine::limiter) struct Source {
    sharing: Arc<Sharing>,
    key: Arc<str>,
    bell: Arc<Notify>,
    running: Arc<AtomicBool>,
}

impl Source {
    pub(super) fn new(sharing: Sharing, kind: &str) -> Self {
        let key = sharing.key(kind).into();
        Self { sharing: Arc::new(sharing), key, bell: Arc::default(), running: Arc::default() }
    }

    /// The line wants more. Outside of a runtime the next call within one starts the task.
    pub(in crate::engine::limiter) fn poke(&self, limiter: &Arc<Shared>) {
        self.bell.notify_one();
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.running.swap(true, Ordering::Relaxed) {
            let driver = Driver {
                limiter: Arc::downgrade(limiter),
                sharing: Arc::clone(&self.sharing),
                key: Arc::clone(&self.key),
                bell: Arc::clone(&self.bell),
                running: Arc::clone(&self.running),
                asker: asker(),
                connection: None,
                health: Health::new((*self.sharing).clone(), RateLimiter(Arc::clone(limiter)).max_rate()),
                next_beat: Instant::now(),
            };
            runtime.spawn(driver.run());
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.bell.notify_one();
    }
}

struct Driver {
    limiter: Weak<Shared>,
    sharing: Arc<Sharing>,
    key: Arc<str>,
    bell: Arc<Notify>,
    running: Arc<AtomicBool>,
    asker: String,
    connection: Option<Connection>,
    health: Health,
    next_beat: Instant,
}

impl Driver {
    /// Ends with the limiter.
    async fn run(mut self) {
        while let Some(limiter) = self.limiter.upgrade().map(RateLimiter) {
            let now = Instant::now();
            let next = self.health.retry().unwrap_or_else(|| {
                let wanted = with_stock(&limiter, |stock, demand| stock.next_call(now, demand));
                wanted.unwrap_or(None).map_or(self.next_beat, |wanted| wanted.min(self.next_beat))
            });
            if next <= now {
                self.ask(&limiter).await;
                continue;
            }
            drop(limiter);
            tokio::select! {
                () = self.bell.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// One question, and what its answer changes.
    async fn ask(&mut self, limiter: &RateLimiter) {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match self.connect(limiter).await {
                Ok(connection) => connection,
                Err(reason) => return self.fail(limiter, Wanted::default(), &reason),
            },
        };
        let sent = Instant::now();
        let Some((wanted, terms)) =
            with_stock(limiter, |stock, demand| (stock.take_wanted(sent, demand), stock.terms.clone()))
        else {
            return;
        };
        let call = Call {
            asker: &self.asker,
            terms: &terms,
            least: wanted.least,
            most: wanted.most,
            relies_on: wanted.relies_on,
            latest: wanted.latest,
            closed_when_lost: self.sharing.on_outage == OnOutage::Closed,
            presence: PRESENCE,
            reports: &wanted.reports,
        };
        let outcome = connection.ask::<Answer>(&[&self.key], &call.arguments()).await;
        match outcome {
            Ok(answer) => {
                self.connection = Some(connection);
                self.succeed(limiter, sent, &answer);
            }
            Err(reason) => self.fail(limiter, wanted, &reason),
        }
    }

    /// Connects. Callers wait for that only as long as for an answer.
    async fn connect(&mut self, limiter: &RateLimiter) -> Result<Connection, String> {
        let sharing = Arc::clone(&self.sharing);
        let mut dial = pin!(sharing.servers.connect(GRANT));
        if self.health.retry().is_none() {
            match timeout(PATIENCE, &mut dial).await {
                Ok(outcome) => return outcome,
                Err(_) => {
                    self.fail(limiter, Wanted::default(), &format!("not connected within {PATIENCE:?}"));
                }
            }
        }
        dial.await
    }

    fn succeed(&mut self, limiter: &RateLimiter, sent: Instant, answer: &Answer) {
        self.next_beat = sent + BEAT;
        self.health.succeed(sent, answer.askers, answer.lost);
        change(limiter, |stock| stock.receive(sent, answer));
    }

    fn fail(&mut self, limiter: &RateLimiter, wanted: Wanted, reason: &str) {
        let outage = self.health.fail(reason);
        change(limiter, |stock| {
            stock.lose(Instant::now(), wanted);
            match outage {
                None => {}
                Some(Outage::Share(0)) => stock.fall_back(Fallback::Nothing),
                Some(Outage::Share(share)) => {
                    stock.fall_back(Fallback::Share(Window::new(share, limiter.window())));
                }
                Some(Outage::Everything) => stock.fall_back(Fallback::Everything),
            }
        });
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.running.store(false, Ordering::Relaxed);
        // Whoever waits in another runtime starts it anew.
        if let Some(limiter) = self.limiter.upgrade().map(RateLimiter) {
            change(&limiter, |_| ());
        }
    }
}

fn with_stock<T>(limiter: &RateLimiter, look: impl FnOnce(&mut Stock, Demand) -> T) -> Option<T> {
    let mut line = limiter.line();
    let demand = line.demand();
    line.stock().map(|stock| look(stock, demand))
}

/// Changes the stock, and lets in who fits now.
fn change(limiter: &RateLimiter, change: impl FnOnce(&mut Stock)) {
    let mut line = limiter.line();
    line.stock().map(change);
    let bells = Line::plan_anew(&mut line, Instant::now());
    drop(line);
    bells.ring();
}
