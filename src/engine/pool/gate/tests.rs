//! The order in which callers get their tickets, with the clock in hand.

use tokio::task::JoinHandle;
use tokio::time::{advance, timeout};

use super::*;

/// A pool with nothing in it that counts how often it was asked to give up a dial.
#[derive(Default)]
struct Bare(AtomicUsize);

impl Room for Bare {
    fn close_one(&self) -> bool {
        false
    }

    fn give_up_dial(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        false
    }
}

fn admit(gate: &Gate) -> (PoolId, Arc<Bare>) {
    let room = Arc::new(Bare::default());
    let weak = Arc::downgrade(&room);
    (gate.admit_pool(weak), room)
}

fn waiting(gate: &Gate) -> usize {
    gate.lock().queues.values().flatten().filter(|waiter| waiter.is_live()).count()
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Somebody who waits for a ticket of `pool` and stands in line when this returns.
async fn wait_in_line(gate: &Arc<Gate>, pool: PoolId) -> JoinHandle<Result<Ticket>> {
    let gate = Arc::clone(gate);
    let caller = tokio::spawn(async move { gate.ticket(pool, None).await });
    settle().await;
    assert!(!caller.is_finished());
    caller
}

async fn ticket_of(caller: JoinHandle<Result<Ticket>>) -> Ticket {
    settle().await;
    timeout(Duration::ZERO, caller).await.unwrap().unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_pool_are_served_in_the_order_in_which_they_came() {
    let gate = Gate::new(1);
    let (pool, _room) = admit(&gate);
    let mut ticket = gate.ticket(pool, None).await.unwrap();
    let mut callers = VecDeque::new();
    for _ in 0..5 {
        callers.push_back(wait_in_line(&gate, pool).await);
    }
    while let Some(next) = callers.pop_front() {
        drop(ticket);
        settle().await;
        assert!(callers.iter().all(|caller| !caller.is_finished()));
        ticket = ticket_of(next).await;
    }
    drop(ticket);
    assert_eq!(gate.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_freed_ticket_stays_in_its_pool_unless_another_has_waited_long_enough() {
    for (head_start, stays) in [(99, true), (101, false)] {
        let gate = Gate::new(1);
        let ((pool, _room), (other, _other_room)) = (admit(&gate), admit(&gate));
        let ticket = gate.ticket(pool, None).await.unwrap();
        let theirs = wait_in_line(&gate, other).await;
        advance(Duration::from_millis(head_start)).await;
        let ours = wait_in_line(&gate, pool).await;
        drop(ticket);
        settle().await;
        assert_eq!((ours.is_finished(), theirs.is_finished()), (stays, !stays), "{head_start} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_owes_another_once_that_has_waited_for_as_long_as_it_must() {
    let gate = Gate::new(1);
    let ((pool, _room), (other, _other_room)) = (admit(&gate), admit(&gate));
    let _ticket = gate.ticket(pool, None).await.unwrap();
    let theirs = wait_in_line(&gate, other).await;
    advance(Duration::from_millis(99)).await;
    assert!(!gate.owes_another(pool));
    advance(Duration::from_millis(2)).await;
    assert!(gate.owes_another(pool));
    theirs.abort();
    settle().await;
    assert!(!gate.owes_another(pool));
}

#[tokio::test(start_paused = true)]
async fn a_shared_connection_makes_way_for_one_of_its_own_pool_that_wants_it_alone() {
    let gate = Gate::new(1);
    let (pool, _room) = admit(&gate);
    let _ticket = gate.ticket(pool, None).await.unwrap();
    let sharing = Arc::clone(&gate);
    let _sharer = tokio::spawn(async move { sharing.ticket_to_share(pool).await.map(drop) });
    settle().await;
    advance(Duration::from_millis(101)).await;
    assert!(!gate.owes_another(pool), "one that would share it too is no reason");
    let _alone = wait_in_line(&gate, pool).await;
    assert!(!gate.owes_another(pool));
    advance(Duration::from_millis(101)).await;
    assert!(gate.owes_another(pool));
}

#[tokio::test(start_paused = true)]
async fn those_who_gave_up_are_passed_over_and_forgotten() {
    let gate = Gate::new(1);
    let (pool, _room) = admit(&gate);
    let ticket = gate.ticket(pool, None).await.unwrap();
    let gone = wait_in_line(&gate, pool).await;
    let next = wait_in_line(&gate, pool).await;
    gone.abort();
    settle().await;
    assert_eq!(waiting(&gate), 1);
    drop(ticket);
    settle().await;
    drop(ticket_of(next).await);
    for _ in 0..1000 {
        let _ticket = gate.ticket(pool, None).await.unwrap();
        assert!(timeout(Duration::ZERO, gate.ticket(pool, None)).await.is_err());
    }
    let left = gate.lock().queues.values().map(VecDeque::len).sum::<usize>();
    assert!(left < 50, "{left} entries of nobody");
    assert_eq!((gate.used(), gate.waiting.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_with_its_ticket_on_the_way_passes_it_on() {
    let gate = Gate::new(1);
    let (pool, _room) = admit(&gate);
    let ticket = gate.ticket(pool, None).await.unwrap();
    let goes = wait_in_line(&gate, pool).await;
    let next = wait_in_line(&gate, pool).await;
    // The ticket is sent, and the caller never gets to look at it.
    drop(ticket);
    goes.abort();
    settle().await;
    assert_eq!(gate.used(), 1);
    drop(ticket_of(next).await);
    assert_eq!(gate.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_overtaken_by_one_who_does_not_wait() {
    let gate = Gate::new(1);
    let (pool, _room) = admit(&gate);
    let ticket = gate.ticket(pool, None).await.unwrap();
    let waits = wait_in_line(&gate, pool).await;
    drop(ticket);
    assert!(gate.try_ticket(pool).unwrap().is_none());
    let ticket = ticket_of(waits).await;
    let waits = wait_in_line(&gate, pool).await;
    // The moment in which a limit has grown and the waiters are not served yet.
    gate.lock().limit = 2;
    assert!(gate.try_ticket(pool).unwrap().is_none());
    gate.serve();
    drop(ticket_of(waits).await);
    assert!(gate.try_ticket(pool).unwrap().is_some());
    drop(ticket);
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_serves_those_who_wait() {
    let gate = Gate::new(1);
    let (pool, _room) = admit(&gate);
    let _ticket = gate.ticket(pool, None).await.unwrap();
    let callers = [wait_in_line(&gate, pool).await, wait_in_line(&gate, pool).await];
    let last = wait_in_line(&gate, pool).await;
    gate.resize(3);
    settle().await;
    assert!(callers.iter().all(JoinHandle::is_finished) && !last.is_finished());
    assert_eq!((gate.limit(), gate.used(), gate.sockets.free()), (3, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_lowered_limit_takes_effect_as_tickets_come_back() {
    let gate = Gate::new(3);
    let (pool, _room) = admit(&gate);
    let mut tickets = Vec::new();
    for _ in 0..3 {
        tickets.push(gate.ticket(pool, None).await.unwrap());
    }
    gate.resize(1);
    let waits = wait_in_line(&gate, pool).await;
    tickets.truncate(1);
    settle().await;
    assert!(!waits.is_finished() && gate.used() == 1);
    tickets.clear();
    drop(ticket_of(waits).await);
    assert_eq!((gate.used(), gate.sockets.free()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_refuses_those_who_wait_and_those_who_come() {
    let gate = Gate::new(1);
    let (pool, _room) = admit(&gate);
    let ticket = gate.ticket(pool, None).await.unwrap();
    let waits = wait_in_line(&gate, pool).await;
    gate.close();
    let refused = |result: Result<_>| result.err().map(|error| error.kind()) == Some(Kind::PoolClosed);
    assert!(refused(waits.await.unwrap().map(drop)));
    assert!(refused(gate.ticket(pool, None).await.map(drop)) && refused(gate.try_ticket(pool).map(drop)));
    drop(ticket);
    assert_eq!(gate.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dismissed_pool_refuses_its_own_and_leaves_the_others_alone() {
    let gate = Gate::new(1);
    let ((pool, _room), (other, _other_room)) = (admit(&gate), admit(&gate));
    let ticket = gate.ticket(pool, None).await.unwrap();
    let (ours, theirs) = (wait_in_line(&gate, pool).await, wait_in_line(&gate, other).await);
    gate.dismiss_pool(pool);
    assert_eq!(ours.await.unwrap().err().unwrap().kind(), Kind::PoolClosed);
    drop(ticket);
    settle().await;
    drop(ticket_of(theirs).await);
    assert_eq!(gate.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_may_wait_and_those_who_gave_up_do_not_count() {
    let gate = Gate::new(1);
    let (pool, _room) = admit(&gate);
    let _ticket = gate.ticket(pool, None).await.unwrap();
    let goes = wait_in_line(&gate, pool).await;
    let error = gate.ticket(pool, Some(1)).await.err().unwrap();
    assert_eq!(error.kind(), Kind::TooManyWaiters);
    goes.abort();
    settle().await;
    assert!(timeout(Duration::ZERO, gate.ticket(pool, Some(1))).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_all_tickets_ends_with_the_last_of_them_or_with_its_time() {
    let gate = Gate::new(2);
    let (pool, _room) = admit(&gate);
    let tickets = [gate.ticket(pool, None).await.unwrap(), gate.ticket(pool, None).await.unwrap()];
    let began = Instant::now();
    gate.all_back_within(Some(Duration::from_secs(5))).await;
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    let waiting = Arc::clone(&gate);
    let wait = tokio::spawn(async move { waiting.all_back_within(None).await });
    let [first, last] = tickets;
    settle().await;
    drop(first);
    settle().await;
    assert!(!wait.is_finished());
    drop(last);
    settle().await;
    timeout(Duration::ZERO, wait).await.unwrap().unwrap();
    timeout(Duration::ZERO, gate.all_back_within(None)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waiter_asks_other_pools_for_their_orphaned_dials_at_once_if_they_are_of_no_use() {
    let gate = Gate::new(1);
    let ((pool, room), (other, other_room)) = (admit(&gate), admit(&gate));
    let _ticket = gate.ticket(pool, None).await.unwrap();
    let own = wait_in_line(&gate, pool).await;
    let asked = |room: &Bare| room.0.load(Ordering::Relaxed);
    assert_eq!((asked(&room), asked(&other_room)), (0, 1));
    let _theirs = wait_in_line(&gate, other).await;
    assert!(asked(&room) == 0 && !gate.is_in_the_way(pool));
    // The pool's own waiter has use for the dial, but not for ever.
    advance(Duration::from_millis(101)).await;
    settle().await;
    assert!(asked(&room) > 0 && gate.is_in_the_way(pool));
    own.abort();
}

#[tokio::test]
async fn a_ticket_for_a_waiter_who_has_just_gone_serves_the_next() {
    let gate = Gate::new(1);
    let (pool, _room) = admit(&gate);
    // A ticket is out, and is about to be handed over.
    std::mem::forget(gate.try_ticket(pool).unwrap());
    let next = wait_in_line(&gate, pool).await;
    // It was chosen, and went before it was told.
    let (ticket, _) = oneshot::channel();
    gate.hand_over(pool, Waiter { since: Instant::now(), ticket, purpose: Purpose::Alone });
    drop(timeout(Duration::from_secs(10), next).await.unwrap().unwrap().unwrap());
    assert_eq!(gate.used(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_who_go_at_any_moment_on_many_threads_leave_no_ticket_and_no_place() {
    let gate = Gate::new(1);
    let (pool, _room) = admit(&gate);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let gate = Arc::clone(&gate);
        callers.spawn(async move {
            for turn in 0..5_000 {
                tokio::select! {
                    biased;
                    ticket = gate.ticket(pool, None) => {
                        let _held = ticket.unwrap();
                        tokio::task::yield_now().await;
                    }
                    () = async { for _ in 0..turn % 3 { tokio::task::yield_now().await } } => {}
                }
            }
        });
    }
    callers.join_all().await;
    assert_eq!((gate.used(), gate.has_waiters()), (0, false));
    assert!(gate.try_ticket(pool).unwrap().is_some());
}
