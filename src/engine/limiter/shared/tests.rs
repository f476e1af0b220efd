//! The stock against answers that are made up, under a clock that stands still.

use std::time::Duration;

use tokio::time::{Instant, advance};

use super::call::{Answer, Report, Terms};
use super::stock::{Demand, Fallback, Stock, Wanted};
use crate::engine::limiter::window::Window;

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_millis(50);
/// A sub-window of one second, in microseconds.
const PART: u64 = 15_625;
/// The server's clock when a test begins, at the end of a sub-window.
const NOON: u64 = PART * 1_000_000;

fn stock() -> Stock {
    Stock::new(Terms::window(160, SECOND))
}

fn lease(permits: u64, starts_in: Duration, now: u64) -> Answer {
    Answer {
        permits,
        starts_in,
        length: LEASE,
        now,
        charged: (now + 50_000).div_ceil(PART),
        epoch: 7,
        version: 1,
        askers: 1,
        lost: false,
        again_in: Duration::ZERO,
    }
}

fn refusal(again_in: Duration) -> Answer {
    Answer { again_in, ..lease(0, Duration::ZERO, NOON) }
}

fn waiting(queued: u64) -> Demand {
    Demand { pending: 0, queued, head: queued.min(1) }
}

fn wanted(stock: &mut Stock, demand: Demand) -> Wanted {
    stock.take_wanted(Instant::now(), demand)
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_there_from_the_start_of_its_lease_to_its_end() {
    let mut stock = stock();
    let now = Instant::now();
    assert_eq!(stock.known_delay(now, 1), Err(1));
    stock.receive(now, &lease(3, SECOND / 2, NOON));
    assert!(stock.delay(now, 3) >= SECOND / 2);
    assert_eq!(stock.known_delay(now, 5), Err(2));
    assert!(stock.known_delay(now + SECOND / 2 + LEASE / 2, 3).unwrap().is_zero());
    assert_eq!(stock.known_delay(now + SECOND / 2 + LEASE, 3), Err(3));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_an_answer_under_way_shortens_the_lease_and_never_lengthens_it() {
    let mut stock = stock();
    let sent = Instant::now();
    advance(Duration::from_millis(20)).await;
    stock.receive(sent, &lease(1, Duration::ZERO, NOON));
    assert!(stock.known_delay(Instant::now(), 1).unwrap().is_zero());
    assert_eq!(stock.known_delay(sent + LEASE, 1), Err(1));
}

#[tokio::test(start_paused = true)]
async fn it_asks_for_what_waits_in_portions_and_for_a_heavy_head_as_a_whole() {
    let mut stock = stock();
    let asked = wanted(&mut stock, waiting(4));
    assert_eq!((asked.least, asked.most), (1, 4));
    let asked = wanted(&mut stock, waiting(1000));
    assert_eq!((asked.least, asked.most), (1, 10));
    let asked = wanted(&mut stock, Demand { pending: 0, queued: 200, head: 100 });
    assert_eq!((asked.least, asked.most), (100, 100));
    assert_eq!(wanted(&mut stock, waiting(0)).most, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_used_up_moves_its_charge_to_its_last_use_and_the_next_is_larger() {
    let mut stock = stock();
    stock.receive(Instant::now(), &lease(2, Duration::ZERO, NOON));
    advance(Duration::from_millis(10)).await;
    stock.stamp(Instant::now(), 2);
    let asked = wanted(&mut stock, waiting(1));
    let charged = (NOON + 50_000).div_ceil(PART);
    let moved = (NOON + 10_000).div_ceil(PART);
    assert_eq!(asked.reports, [Report { charged, back: 0, used: 2, moved }]);
    assert_eq!(asked.most, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_lease_at_its_end_goes_back() {
    let mut stock = stock();
    stock.receive(Instant::now(), &lease(5, Duration::ZERO, NOON));
    stock.stamp(Instant::now(), 2);
    let ends = stock.next_call(Instant::now(), waiting(0)).unwrap();
    assert!(ends <= Instant::now() + LEASE);
    advance(LEASE).await;
    let [report] = wanted(&mut stock, waiting(0)).reports[..] else { unreachable!() };
    assert_eq!((report.back, report.used), (3, 2));
    assert_eq!(stock.next_call(Instant::now(), waiting(0)), None);
}

#[tokio::test(start_paused = true)]
async fn permits_of_callers_who_have_not_resumed_are_charged_anew_instead_of_given_back() {
    let mut stock = stock();
    stock.receive(Instant::now(), &lease(5, Duration::ZERO, NOON));
    advance(LEASE).await;
    let demand = Demand { pending: 2, queued: 0, head: 0 };
    let [back, kept] = wanted(&mut stock, demand).reports[..] else { unreachable!() };
    assert_eq!((back.back, back.used), (3, 0));
    assert_eq!((kept.back, kept.used, kept.charged), (0, 2, back.charged));
    assert!(kept.moved > back.charged);
    // They resume, later still, and the server hears when that was.
    advance(LEASE * 2).await;
    stock.stamp(Instant::now(), 2);
    let [late] = wanted(&mut stock, waiting(0)).reports[..] else { unreachable!() };
    assert_eq!((late.charged, late.back, late.used), (kept.moved, 0, 2));
    assert!(late.moved > late.charged);
}

#[tokio::test(start_paused = true)]
async fn a_lease_for_later_goes_back_at_once_when_nobody_waits_any_more() {
    let mut stock = stock();
    let now = Instant::now();
    stock.receive(now, &lease(5, SECOND, NOON));
    assert!(stock.next_call(now, waiting(5)).unwrap() > now + SECOND);
    assert_eq!(stock.next_call(now, waiting(0)), Some(now));
    assert_eq!(wanted(&mut stock, waiting(0)).reports[0].back, 5);
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_nobody_asks_before_it_is_worth_it() {
    let mut stock = stock();
    let now = Instant::now();
    stock.receive(now, &refusal(SECOND * 3));
    assert!(stock.next_call(now, waiting(1)).unwrap() >= now + SECOND * 3);
    assert!(stock.delay(now, 1) >= SECOND * 3);
    assert!(stock.delay(now, 161) >= SECOND * 4, "one window holds 160");
}

#[tokio::test(start_paused = true)]
async fn what_was_used_during_an_outage_is_told_after_it_for_as_long_as_it_counts() {
    let mut stock = stock();
    stock.receive(Instant::now(), &refusal(Duration::ZERO));
    stock.fall_back(Fallback::Share(Window::new(10, SECOND)));
    assert!(stock.delay(Instant::now(), 10).is_zero());
    stock.stamp(Instant::now(), 10);
    assert_eq!(stock.delay(Instant::now(), 1), SECOND);
    advance(SECOND).await;
    stock.stamp(Instant::now(), 4);
    let told = wanted(&mut stock, waiting(0));
    assert_eq!(told.reports.len(), 1);
    assert_eq!((told.reports[0].charged, told.reports[0].used), (0, 4));
    stock.lose(Instant::now(), told);
    assert_eq!(wanted(&mut stock, waiting(0)).reports[0].used, 4, "told again where there was no answer");
    assert!(wanted(&mut stock, waiting(0)).reports.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_outage_after_another_gives_no_new_share_before_the_window_of_the_first_is_over() {
    let (mut stock, now) = (stock(), Instant::now());
    for share in [10, 10, 5] {
        stock.fall_back(Fallback::Share(Window::new(share, SECOND)));
        let used = u64::from(stock.delay(now, 10).is_zero()) * 10;
        stock.stamp(now, used);
        assert_eq!(stock.delay(now, 1), SECOND, "{share}");
        stock.receive(now, &refusal(Duration::ZERO));
    }
    stock.fall_back(Fallback::Share(Window::new(12, SECOND)));
    assert!(stock.delay(now, 2).is_zero() && !stock.delay(now, 3).is_zero());
    assert!(stock.delay(now + SECOND, 12).is_zero());
}

#[tokio::test(start_paused = true)]
async fn while_the_server_is_away_closed_gives_nothing_and_open_everything() {
    let mut stock = stock();
    stock.fall_back(Fallback::Nothing);
    assert_eq!(stock.known_delay(Instant::now(), 1), Err(1));
    stock.fall_back(Fallback::Everything);
    assert!(stock.delay(Instant::now(), 1_000_000).is_zero());
    stock.stamp(Instant::now(), 1_000_000);
    stock.receive(Instant::now(), &refusal(SECOND));
    assert!(wanted(&mut stock, waiting(0)).reports.is_empty(), "what was open is not held against anybody");
}

#[tokio::test(start_paused = true)]
async fn state_is_relied_on_only_while_something_of_ours_counts_in_it() {
    let mut stock = stock();
    stock.receive(Instant::now(), &refusal(SECOND));
    assert_eq!(wanted(&mut stock, waiting(0)).relies_on, None);
    stock.receive(Instant::now(), &lease(1, Duration::ZERO, NOON));
    assert_eq!(wanted(&mut stock, waiting(0)).relies_on, Some((7, 1)));
    advance(SECOND * 2).await;
    assert_eq!(wanted(&mut stock, waiting(0)).relies_on, None);
}

#[tokio::test(start_paused = true)]
async fn the_server_is_told_the_latest_that_it_can_be_there() {
    let mut stock = stock();
    assert_eq!(wanted(&mut stock, waiting(0)).latest, None);
    stock.receive(Instant::now(), &refusal(SECOND));
    advance(SECOND * 10).await;
    let latest = wanted(&mut stock, waiting(0)).latest.unwrap() - NOON;
    assert!((10_050_000..10_100_000).contains(&latest), "{latest}");
}
