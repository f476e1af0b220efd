//! The pool's background task: closes what lay idle or lived too long, keeps the minimum open, names long holders. It
//! runs while there is something to look after, and ends by itself.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::core::Pool;
use super::lease::{Begun, Lease};
use crate::engine::log::{Area, Level};
use crate::engine::metrics::CloseCause;

/// The longest time between two looks. Short settings are looked at four times as often as they are long.
const INTERVAL: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(10);

pub(super) fn start(pool: Pool) {
    let settings = pool.settings();
    let due = [settings.idle_timeout, settings.max_lifetime, settings.leak_threshold];
    let interval = due.into_iter().flatten().map(|time| time / 4).fold(INTERVAL, Duration::min).max(SHORTEST);
    let pool_if_alive = pool.downgrade();
    drop(pool);
    tokio::spawn(async move {
        loop {
            sleep(interval).await;
            let Some(pool) = pool_if_alive() else { return };
            tend(&pool);
            if pool.is_closed() || is_at_rest(&pool) {
                pool.upkeep_ended();
                // Something may have come between the look and the flag; then the task is started again.
                if !pool.is_closed() && !is_at_rest(&pool) {
                    pool.upkeep();
                }
                return;
            }
        }
    });
}

fn is_at_rest(pool: &Pool) -> bool {
    pool.scopes().own().levels().snapshot().total() == 0 && pool.settings().min_connections == 0
}

fn tend(pool: &Pool) {
    let settings = pool.settings();
    let home = pool.home();
    let now = Instant::now();
    home.close_idle(CloseCause::Lifetime, usize::MAX, |conn| conn.expires().is_none_or(|end| end > now));
    if let Some(idle) = settings.idle_timeout {
        let total = usize::try_from(pool.scopes().own().levels().snapshot().total()).unwrap_or(usize::MAX);
        let most = total.saturating_sub(settings.min_connections);
        home.close_idle(CloseCause::Idle, most, |conn| now.duration_since(conn.since()) < idle);
    }
    if let Some(threshold) = settings.leak_threshold {
        for (held, place) in home.holders.overdue(threshold) {
            home.log.write(Level::Warning, Area::Pool, || {
                format!("a connection of {} is held for {:.1} s by {place}", home.name(), held.as_secs_f64())
            });
        }
    }
    warm(pool);
}

/// Open what is missing to the minimum, as far as nobody else needs the room and the endpoint lets it.
///
/// The idle connections are taken first, or they would be what the store hands out; they go back at once, while the
/// dials go on by themselves.
fn warm(pool: &Pool) {
    let levels = pool.scopes().own().levels().snapshot();
    let missing =
        pool.settings().min_connections.saturating_sub(usize::try_from(levels.total()).unwrap_or(0));
    if missing == 0 || pool.is_closed() {
        return;
    }
    let mut idle = Vec::new();
    let mut begun = 0;
    while begun < missing.min(pool.home().dials.allowance()) {
        let Ok(Some(ticket)) = pool.ticket_now() else { return };
        match Lease::begin(pool, ticket) {
            Begun::Ready(Ok(lease)) => idle.push(lease),
            Begun::Ready(Err(_)) => return,
            Begun::Dialling(_) => begun += 1,
        }
    }
}
