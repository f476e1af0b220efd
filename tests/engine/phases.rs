//! Each phase of a call ends with its deadline, to the millisecond: the clock is stopped and moves only when nothing
//! else can be done, so that what is measured is what was waited for.

use std::sync::Arc;
use std::time::Duration;

use genesis_replicator::engine::deadline::Timeout;
use genesis_replicator::engine::error::{Error, Kind, Phase};
use genesis_replicator::engine::limiter::RateLimiter;
use genesis_replicator::engine::log::Log;
use genesis_replicator::engine::metrics::{CloseCause, Event, Gauge, Scopes};
use genesis_replicator::engine::plans::Quota;
use genesis_replicator::engine::pool::{Gate, Parts, Pool, Settings};
use genesis_replicator::engine::transport::Dialer;
use serde_json::json;
use tokio::time::{Instant, pause, resume};

use crate::server::{Answer, Ask, echo, plain};
use crate::support::*;

const DEADLINE: Duration = Duration::from_millis(700);

async fn silent_on_strings(ask: Ask) -> Answer {
    if ask.params[0].is_string() { Answer::Never } else { echo(ask).await }
}

/// What a call comes to whose deadline passes, and that it did so in its time. Only then does the clock go on.
async fn ends_at_its_deadline<T>(call: impl Future<Output = Result<T, Error>>) -> Error {
    pause();
    let began = Instant::now();
    let error = call.await.err().unwrap();
    let took = began.elapsed();
    resume();
    // The timer counts whole milliseconds and rounds up.
    assert!((DEADLINE..=DEADLINE + Duration::from_millis(1)).contains(&took), "{took:?}: {error}");
    let told = error.facts().elapsed.unwrap();
    assert!((DEADLINE..=took).contains(&told), "{told:?}");
    error
}

fn deadline() -> Timeout {
    Timeout::Of(Some(DEADLINE))
}

fn assert_nothing_is_left(pool: &Pool, gate: &Gate) {
    let counters = pool.scopes().own();
    assert_eq!((gate.used(), levels(pool).active), (0, 0));
    assert_eq!((counters.gauge(Gauge::Waiting), counters.gauge(Gauge::InFlight)), (0, 0));
}

#[tokio::test]
async fn in_the_queue() {
    let server = plain(echo).await;
    let gate = Gate::new(1);
    let pool = member(route(&server.url()), &gate, None, Settings::default());
    let held = lease(&pool).await;
    for way in 0..2 {
        let error = if way == 0 {
            ends_at_its_deadline(pool.request(&request(&json!([1])), deadline())).await
        } else {
            ends_at_its_deadline(pool.lease(deadline())).await
        };
        assert_eq!((error.kind(), error.facts().phase), (Kind::PoolTimeout, Some(Phase::Queue)));
    }
    drop(held);
    assert_nothing_is_left(&pool, &gate);
    assert_eq!(call(&pool, json!([2])).await.unwrap(), json!(2));
}

#[tokio::test]
async fn in_the_queue_for_no_longer_than_is_waited_for_a_connection() {
    let server = plain(echo).await;
    let gate = Gate::new(1);
    let settings = Settings { acquire_timeout: Some(DEADLINE), ..Settings::default() };
    let pool = member(route(&server.url()), &gate, None, settings);
    let held = lease(&pool).await;
    let error = ends_at_its_deadline(pool.request(&request(&json!([1])), Timeout::Default)).await;
    assert_eq!((error.kind(), error.facts().phase), (Kind::PoolTimeout, Some(Phase::Queue)));
    drop(held);
    assert_nothing_is_left(&pool, &gate);
}

#[tokio::test]
async fn at_the_rate_limit() {
    let server = plain(echo).await;
    let gate = Gate::new(1);
    // One grant is out and never stamped, so nobody can tell when the next will be.
    let limiter = RateLimiter::new(1, Duration::from_millis(100), None).unwrap();
    let _granted = limiter.grant(1, None).await.unwrap();
    let pool = Pool::new(Parts {
        label: None,
        dialer: Dialer::new(route(&server.url())).unwrap(),
        gate: Arc::clone(&gate),
        scopes: Scopes::alone(Arc::default()),
        log: Log::silent(),
        quota: Some(Quota::new(limiter, None)),
        collector: None,
        settings: Settings::default(),
    })
    .unwrap();
    let error = ends_at_its_deadline(pool.request(&request(&json!([1])), deadline())).await;
    assert_eq!((error.kind(), error.facts().phase), (Kind::LimiterTimeout, Some(Phase::Limit)));
    assert_nothing_is_left(&pool, &gate);
}

#[tokio::test]
async fn while_it_connects() {
    let hole = BlackHole::new().await;
    let gate = Gate::new(1);
    let pool = member(route(&hole.url), &gate, None, Settings::default());
    let error = ends_at_its_deadline(pool.request(&request(&json!([1])), deadline())).await;
    assert_eq!((error.kind(), error.facts().phase), (Kind::ConnectTimeout, Some(Phase::Connect)));
    // The dial goes on for the next caller, and makes room for whoever else wants it.
    assert_eq!((levels(&pool).connecting, pool.scopes().own().gauge(Gauge::Waiting)), (1, 0));
    pool.dismiss();
    until("it is given up", || gate.used() == 0).await;
    assert_nothing_is_left(&pool, &gate);
}

#[tokio::test]
async fn while_it_sends_what_the_node_does_not_read() {
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gate = Gate::new(1);
    let url = format!("http://{}", deaf.local_addr().unwrap());
    let pool = member(route(&url), &gate, None, Settings::default());
    let more_than_all_buffers = request(&json!(["x".repeat(32 << 20)]));
    let held = lease(&pool).await;
    for way in 0..2 {
        let error = if way == 0 {
            ends_at_its_deadline(held.request(&more_than_all_buffers, deadline())).await
        } else {
            held.close();
            drop(lease(&pool).await);
            ends_at_its_deadline(pool.request(&more_than_all_buffers, deadline())).await
        };
        assert_eq!((error.kind(), error.facts().phase), (Kind::RequestTimeout, Some(Phase::Send)), "{error}");
        assert!(error.message().contains("sending the request"), "{error}");
    }
    assert_nothing_is_left(&pool, &gate);
}

#[tokio::test]
async fn while_it_waits_for_the_answer() {
    let server = plain(silent_on_strings).await;
    let gate = Gate::new(1);
    let pool = member(route(&server.url()), &gate, None, Settings::default());
    call(&pool, json!([1])).await.unwrap();
    let error = ends_at_its_deadline(pool.request(&request(&json!(["hangs"])), deadline())).await;
    assert_eq!((error.kind(), error.facts().phase), (Kind::RequestTimeout, Some(Phase::Receive)));
    assert_nothing_is_left(&pool, &gate);
    assert_eq!(pool.scopes().own().counted(Event::Closed(CloseCause::Dirty)), 1);
    assert_eq!(call(&pool, json!([2])).await.unwrap(), json!(2));
}
