//! What the plans of providers allow, and what each method costs there. Figures are those that the providers' pages
//! told when they were read, in November 2026; `source` says which page.

use std::time::Duration;

use super::error::{Error, Result};
use super::limiter::RateLimiter;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// What a provider sells.
#[derive(Debug)]
pub struct Plan {
    /// Provider and plan, as users write it.
    pub name: &'static str,
    /// Units, and the window that may hold so many.
    pub windows: &'static [(u64, Duration)],
    /// What methods cost.
    pub prices: &'static Prices,
    /// Where the figures are from.
    pub source: &'static str,
}

/// What the methods of a provider cost.
#[derive(Debug)]
pub struct Prices {
    /// Those that are not as most.
    methods: &'static [(&'static str, u64)],
    /// All others.
    others: u64,
}

impl Prices {
    fn of(&self, method: &str) -> u64 {
        self.methods.iter().find(|(name, _)| *name == method).map_or(self.others, |(_, units)| *units)
    }
}

/// How fast one endpoint may be asked.
#[derive(Debug, Clone)]
pub struct Quota {
    limiter: RateLimiter,
    prices: Option<&'static Prices>,
}

impl Quota {
    /// A limit for calls that all cost one unit, or what the methods are priced at.
    #[must_use]
    pub const fn new(limiter: RateLimiter, prices: Option<&'static Prices>) -> Self {
        Self { limiter, prices }
    }

    /// What the limit is kept with.
    #[must_use]
    pub const fn limiter(&self) -> &RateLimiter {
        &self.limiter
    }

    /// How many of these calls, from the first, a window holds: one at least.
    #[must_use]
    pub fn fits<'a>(&self, methods: impl Iterator<Item = &'a str>) -> usize {
        let largest = self.limiter.largest();
        let mut left = largest;
        let fitting = methods.take_while(|method| {
            let price = self.prices.map_or(1, |prices| prices.of(method)).min(largest);
            let fits = price <= left;
            left = left.saturating_sub(price);
            fits
        });
        fitting.count().max(1)
    }

    /// What calls of these methods cost together. Where there are prices it is never more than the limit can hold: a
    /// provider lets a dear call through, and so it takes all that there is.
    #[must_use]
    pub fn cost<'a>(&self, methods: impl Iterator<Item = &'a str>) -> u64 {
        match self.prices {
            None => methods.count() as u64,
            Some(prices) => methods.map(|method| prices.of(method)).sum::<u64>().min(self.limiter.largest()),
        }
    }
}

/// The plan of this name, and a limiter for it.
///
/// # Errors
/// `Configuration` that lists the names.
pub fn plan(name: &str) -> Result<(&'static Plan, RateLimiter)> {
    let Some(plan) = PLANS.iter().find(|plan| plan.name == name) else {
        let names: Vec<_> = PLANS.iter().map(|plan| plan.name).collect();
        let message =
            format!("must be requests per second, a RateLimiter, adaptive, or one of {}", names.join(", "));
        return Err(Error::argument("rate_limit", message));
    };
    Ok((plan, RateLimiter::with_windows(plan.windows)?))
}

const BY_CALL: Prices = Prices { methods: &[], others: 1 };

const INFURA: Prices = Prices {
    methods: &[
        ("debug_storageRangeAt", 1000),
        ("debug_traceBlock", 1000),
        ("debug_traceBlockByHash", 1000),
        ("debug_traceBlockByNumber", 1000),
        ("debug_traceCall", 1000),
        ("debug_traceTransaction", 1000),
        ("eth_blobBaseFee", 300),
        ("eth_chainId", 5),
        ("eth_estimateGas", 300),
        ("eth_getBlockReceipts", 1000),
        ("eth_getBlockTransactionCountByHash", 150),
        ("eth_getBlockTransactionCountByNumber", 150),
        ("eth_getFilterChanges", 140),
        ("eth_getFilterLogs", 255),
        ("eth_getLogs", 255),
        ("eth_getProof", 150),
        ("eth_getTransactionByBlockHashAndIndex", 150),
        ("eth_getTransactionByBlockNumberAndIndex", 150),
        ("eth_getUncleByBlockHashAndIndex", 150),
        ("eth_getUncleByBlockNumberAndIndex", 150),
        ("eth_getUncleCountByBlockHash", 150),
        ("eth_getUncleCountByBlockNumber", 150),
        ("eth_hashrate", 5),
        ("eth_mining", 5),
        ("eth_protocolVersion", 5),
        ("eth_sendRawTransaction", 720),
        ("eth_syncing", 5),
        ("linea_estimateGas", 100),
        ("net_listening", 5),
        ("net_version", 5),
        ("trace_block", 300),
        ("trace_call", 300),
        ("trace_callMany", 300),
        ("trace_filter", 300),
        ("trace_transaction", 300),
    ],
    others: 80,
};

/// Throughput units where the page tells them apart from those that are billed.
const ALCHEMY: Prices = Prices {
    methods: &[
        ("eth_accounts", 10),
        ("eth_blockNumber", 10),
        ("eth_call", 26),
        ("eth_chainId", 0),
        ("eth_createAccessList", 10),
        ("eth_feeHistory", 10),
        ("eth_getBlockReceipts", 500),
        ("eth_getFilterLogs", 60),
        ("eth_getLogs", 60),
        ("eth_maxPriorityFeePerGas", 10),
        ("eth_protocolVersion", 0),
        ("eth_sendRawTransaction", 250),
        ("eth_simulateV1", 40),
        ("eth_syncing", 0),
        ("eth_uninstallFilter", 10),
        ("net_listening", 0),
        ("net_version", 0),
    ],
    others: 20,
};

const DRPC: Prices = Prices { methods: &[], others: 20 };

const INFURA_PAGE: &str = "docs.metamask.io/services/get-started/pricing";
const CHAINSTACK_PAGE: &str = "support.chainstack.com/hc/en-us/articles/6955614349209";

/// Every plan that has a name here.
pub const PLANS: [Plan; 9] = [
    Plan {
        name: "alchemy/free",
        windows: &[(500, SECOND)],
        prices: &ALCHEMY,
        source: "alchemy.com/docs/reference/compute-unit-costs",
    },
    Plan {
        name: "chainstack/business",
        windows: &[(500, SECOND)],
        prices: &BY_CALL,
        source: CHAINSTACK_PAGE,
    },
    Plan {
        name: "chainstack/developer",
        windows: &[(25, SECOND)],
        prices: &BY_CALL,
        source: CHAINSTACK_PAGE,
    },
    Plan { name: "chainstack/growth", windows: &[(250, SECOND)], prices: &BY_CALL, source: CHAINSTACK_PAGE },
    Plan {
        name: "drpc/free",
        windows: &[(120_000, MINUTE)],
        prices: &DRPC,
        source: "drpc.org/docs/howitworks/ratelimiting",
    },
    Plan {
        name: "infura/developer",
        windows: &[(4_000, SECOND), (15_000_000, DAY)],
        prices: &INFURA,
        source: INFURA_PAGE,
    },
    Plan {
        name: "infura/free",
        windows: &[(500, SECOND), (3_000_000, DAY)],
        prices: &INFURA,
        source: INFURA_PAGE,
    },
    Plan { name: "infura/team", windows: &[(40_000, SECOND)], prices: &INFURA, source: INFURA_PAGE },
    // It has a limit for each method, too: 40 in ten seconds.
    Plan {
        name: "solana/public",
        windows: &[(100, Duration::from_secs(10))],
        prices: &BY_CALL,
        source: "docs of Solana, cluster/rpc-endpoints",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_is_found_by_its_name_and_makes_a_limiter() {
        for expected in &PLANS {
            let (found, limiter) = plan(expected.name).unwrap();
            assert_eq!((found.name, limiter.windows()), (expected.name, expected.windows));
        }
        assert!(PLANS.is_sorted_by_key(|plan| plan.name));
    }

    #[test]
    fn a_name_that_is_none_is_told_with_all_that_are() {
        let error = plan("infura/gratis").unwrap_err().to_string();
        assert!(PLANS.iter().all(|plan| error.contains(plan.name)), "{error}");
    }

    #[test]
    fn calls_cost_what_their_provider_takes_and_never_more_than_a_window_holds() {
        let (plan, limiter) = plan("infura/free").unwrap();
        let quota = Quota::new(limiter, Some(plan.prices));
        let cost = |methods: &[&'static str]| quota.cost(methods.iter().copied());
        assert_eq!(cost(&["eth_getLogs"]), 255);
        assert_eq!(cost(&["eth_chainId", "eth_call", "anything_else"]), 165);
        assert_eq!(cost(&["eth_sendRawTransaction"]), 500);
        let by_call = Quota::new(RateLimiter::new(25, SECOND, None).unwrap(), None);
        assert_eq!(by_call.cost(["eth_getLogs", "eth_call"].into_iter()), 2);
    }
}
