//! What may be done about a failure: by what it means, and by what the method does at a node.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::engine::classify::{Class, Effect};
use crate::engine::error::{Error, Kind};

/// The waits before an attempt is repeated: up to this for the first, twice that for the next, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Tell the caller: it would be the same everywhere, or nothing may be sent twice.
    Raise,
    /// Ask another endpoint; if there is none, tell the caller.
    Elsewhere,
    /// Ask another endpoint; if there is none, this one again after a while.
    Again,
}

/// What it says about the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// Nothing: it answered as it should.
    None,
    /// Nothing: it was not asked.
    Unasked,
    /// It failed.
    Failure,
    /// It refuses this caller.
    Refusal,
    /// It cannot be used until something changes there.
    Outage,
    /// It does not know the method.
    Lacks,
}

/// What to do about `error`, met by a method that has `effect`.
pub(super) fn remedy(error: &Error, effect: Effect) -> Remedy {
    let may_repeat = effect != Effect::Changes || was_refused(error);
    let remedy = match error.kind() {
        // An answer that is longer than is read would be as long elsewhere.
        Kind::Protocol if is_too_long(error) => Remedy::Raise,
        Kind::ChainConnection | Kind::ConnectionClosed | Kind::ConnectTimeout | Kind::Protocol => {
            Remedy::Again
        }
        Kind::RequestTimeout
        | Kind::LimiterTimeout
        | Kind::Tls
        | Kind::Authentication
        | Kind::QuotaExhausted
        | Kind::ChainMismatch => Remedy::Elsewhere,
        _ => match error.facts().class {
            Some(Class::RateLimited | Class::Transient) => Remedy::Again,
            // Endpoints differ in what they take.
            Some(Class::NodeBehind | Class::MethodNotSupported | Class::RangeTooLarge) => Remedy::Elsewhere,
            _ => Remedy::Raise,
        },
    };
    if may_repeat { remedy } else { Remedy::Raise }
}

/// What `error` says about the endpoint that it came from.
pub(super) fn blame(error: &Error) -> Blame {
    match error.kind() {
        _ if error.facts().is_unsure || error.is_too_late() => Blame::Unasked,
        Kind::Protocol if is_too_long(error) => Blame::None,
        Kind::ConnectionClosed | Kind::RequestTimeout | Kind::Protocol => Blame::Failure,
        Kind::ChainConnection | Kind::ConnectTimeout | Kind::Tls | Kind::ChainMismatch => Blame::Outage,
        Kind::Authentication | Kind::QuotaExhausted => Blame::Refusal,
        Kind::MethodNotSupported => Blame::Lacks,
        Kind::PoolTimeout | Kind::TooManyWaiters | Kind::PoolClosed | Kind::LimiterTimeout => Blame::Unasked,
        _ if error.facts().class == Some(Class::Transient) => Blame::Failure,
        _ => Blame::None,
    }
}

/// Whether no node has seen it, so that asking another one burdens nobody.
pub(super) fn reached_nobody(error: &Error) -> bool {
    let is_of_the_way = matches!(
        error.kind(),
        Kind::ChainConnection | Kind::ConnectTimeout | Kind::Tls | Kind::LimiterTimeout
    );
    is_of_the_way || error.is_too_late()
}

fn is_too_long(error: &Error) -> bool {
    error.facts().class == Some(Class::RangeTooLarge)
}

/// Whether the node cannot have acted on it: it was never sent, or was turned away.
fn was_refused(error: &Error) -> bool {
    let is_turned_away = matches!(
        error.kind(),
        Kind::Authentication
            | Kind::ProviderRateLimit
            | Kind::QuotaExhausted
            | Kind::MethodNotSupported
            | Kind::ChainMismatch
    );
    is_turned_away || reached_nobody(error)
}

/// How long to wait before the attempt after `attempts` of them: what the server asks, or exponential back-off with
/// full jitter, as in Amazon's "Exponential Backoff And Jitter".
pub(in crate::engine::chain) fn wait(error: &Error, attempts: u32) -> Duration {
    let most = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(LONGEST_WAIT);
    let jitter = most.mul_f64(chance());
    // A little later than asked, so that not everybody comes back at once.
    error.facts().retry_after.map_or(jitter, |asked| asked + jitter.min(FIRST_WAIT))
}

/// A number from 0 to 1, by chance. The standard library's hasher is seeded by chance, which is all that this needs.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
pub(super) fn chance() -> f64 {
    (RandomState::new().hash_one(0_u8) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: Kind, class: Option<Class>) -> Error {
        Error::new(kind, "x").with(|facts| facts.class = class)
    }

    fn answer(class: Class) -> Error {
        error(class.kind(), Some(class))
    }

    #[test]
    fn reads_are_repeated_and_what_changes_something_only_if_it_was_turned_away() {
        let lost = error(Kind::ConnectionClosed, None);
        assert_eq!(remedy(&lost, Effect::Reads), Remedy::Again);
        assert_eq!(remedy(&lost, Effect::Submits), Remedy::Again);
        assert_eq!(remedy(&lost, Effect::Changes), Remedy::Raise);
        assert_eq!(remedy(&answer(Class::Transient), Effect::Changes), Remedy::Raise);
        assert_eq!(remedy(&error(Kind::ChainConnection, None), Effect::Changes), Remedy::Again);
        assert_eq!(remedy(&answer(Class::RateLimited), Effect::Changes), Remedy::Again);
    }

    #[test]
    fn what_would_be_the_same_everywhere_is_told_at_once() {
        use Class::{AlreadyKnown, Invalid, RangeTooLarge, Rejected, Reverted, SenderLimited, Unknown};
        for class in [AlreadyKnown, Invalid, Rejected, Reverted, SenderLimited, Unknown] {
            let error = answer(class);
            assert_eq!(
                (remedy(&error, Effect::Reads), blame(&error)),
                (Remedy::Raise, Blame::None),
                "{class:?}"
            );
        }
        assert_eq!(remedy(&error(Kind::PoolTimeout, None), Effect::Reads), Remedy::Raise);
        let too_long = error(Kind::Protocol, Some(RangeTooLarge));
        assert_eq!((remedy(&too_long, Effect::Reads), blame(&too_long)), (Remedy::Raise, Blame::None));
    }

    #[test]
    fn another_node_may_have_what_this_one_lacks() {
        for class in
            [Class::NodeBehind, Class::MethodNotSupported, Class::QuotaExhausted, Class::Authentication]
        {
            assert_eq!(remedy(&answer(class), Effect::Reads), Remedy::Elsewhere, "{class:?}");
        }
        assert_eq!(blame(&answer(Class::MethodNotSupported)), Blame::Lacks);
        assert_eq!(blame(&answer(Class::QuotaExhausted)), Blame::Refusal);
        assert_eq!(remedy(&answer(Class::RangeTooLarge), Effect::Reads), Remedy::Elsewhere);
        assert_eq!(blame(&answer(Class::NodeBehind)), Blame::None);
    }

    #[test]
    fn what_was_never_sent_says_nothing_about_the_endpoint_and_goes_elsewhere_at_no_price() {
        let too_late = answer(Class::RateLimited);
        let full = error(Kind::LimiterTimeout, None);
        for error in [&too_late, &full] {
            assert_eq!((blame(error), reached_nobody(error)), (Blame::Unasked, true), "{error:?}");
            assert_ne!(remedy(error, Effect::Changes), Remedy::Raise, "{error:?}");
        }
        let refused = too_late.with(|facts| facts.status = Some(429));
        assert_eq!((blame(&refused), reached_nobody(&refused)), (Blame::None, false));
        for kind in [Kind::PoolTimeout, Kind::TooManyWaiters, Kind::PoolClosed] {
            assert_eq!(blame(&error(kind, None)), Blame::Unasked, "{kind:?}");
        }
    }

    #[test]
    fn waits_grow_by_chance_and_the_servers_word_counts() {
        let lost = error(Kind::ConnectionClosed, None);
        for (attempts, most) in [(1, 100), (2, 200), (3, 400), (10, 5000), (99, 5000)] {
            assert!((0..50).all(|_| wait(&lost, attempts) <= Duration::from_millis(most)));
        }
        let waits: Vec<_> = (0..50).map(|_| wait(&lost, 10)).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]));
        let asked = lost.with(|facts| facts.retry_after = Some(Duration::from_secs(7)));
        let wait = wait(&asked, 1);
        assert!(Duration::from_secs(7) <= wait && wait <= Duration::from_millis(7100));
    }
}
