//! When to try again what did not work, and when not to.

use std::time::Duration;

use tokio::time::sleep;

use crate::engine::chain::route::wait;
use crate::engine::classify::Class;
use crate::engine::error::{Error, Kind, Result};

/// So often in a row an answer may be unusable.
const UNUSABLE: u32 = 5;
/// The first wait for what a node does not have yet, and the longest.
const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(2);
/// The wait for an endpoint that is well.
const UNWELL: Duration = Duration::from_millis(100);

/// How often in a row something did not work.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: u32,
    /// How often in a row the reason was an unusable answer.
    unusable: u32,
}

impl Patience {
    /// It has worked.
    pub(super) const fn restore(&mut self) {
        self.failures = 0;
        self.unusable = 0;
    }

    /// Wait for what is not there yet.
    pub(super) async fn pause(&mut self) {
        let pause = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures += 1;
        sleep(pause).await;
    }

    /// Wait for `error` to pass.
    ///
    /// # Errors
    /// The same error, when there is no hope of that.
    pub(super) async fn bear(&mut self, error: Error) -> Result<()> {
        self.failures += 1;
        self.unusable = if error.kind() == Kind::Protocol { self.unusable + 1 } else { 0 };
        if !passes(&error) || self.unusable > UNUSABLE {
            return Err(error);
        }
        sleep(match error.kind() {
            // They are looked after without being asked for anything.
            Kind::NoHealthyEndpoint => UNWELL,
            _ => wait(&error, self.failures),
        })
        .await;
        Ok(())
    }
}

/// Whether it may go better later, without anybody doing anything about it.
pub(super) fn passes(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::ChainConnection
            | Kind::ConnectionClosed
            | Kind::ConnectTimeout
            | Kind::RequestTimeout
            | Kind::NoHealthyEndpoint
            | Kind::PoolTimeout
            | Kind::LimiterTimeout
            | Kind::TooManyWaiters
            | Kind::Protocol
            | Kind::ProviderRateLimit
            | Kind::NodeBehind
    ) || error.facts().class == Some(Class::Transient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_waited_for_and_what_does_not_is_told() {
        let mut patience = Patience::default();
        for _ in 0..100 {
            patience.bear(Error::new(Kind::ChainConnection, "x")).await.unwrap();
        }
        for kind in [Kind::PoolTimeout, Kind::LimiterTimeout, Kind::TooManyWaiters] {
            patience.bear(Error::new(kind, "x")).await.unwrap();
        }
        assert!(patience.bear(Error::new(Kind::Authentication, "x")).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unusable_answer_is_told_when_it_comes_again_and_again() {
        let mut patience = Patience::default();
        let unusable = || Error::new(Kind::Protocol, "x");
        for _ in 0..UNUSABLE {
            // Others do not count.
            patience.bear(Error::new(Kind::ConnectionClosed, "x")).await.unwrap();
        }
        for _ in 0..UNUSABLE {
            patience.bear(unusable()).await.unwrap();
        }
        assert!(patience.bear(unusable()).await.is_err());
        patience.restore();
        patience.bear(unusable()).await.unwrap();
    }
}
