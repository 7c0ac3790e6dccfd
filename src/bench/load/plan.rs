//! The parameters of a load: connections, closed or open loop, duration, accounts and kinds of requests.
//!
//! Left out: drawing requests (`draw.rs`), sending them (`generator.rs`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::wire::message::MAX_RUN;

/// The most commands in flight on a connection: the limit of unacknowledged replies in a session.
pub(super) const MAX_DEPTH: usize = 1024;

/// The parameters of a load.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Number of connections, each with a session of its own.
    pub connections: usize,
    /// Commands in flight on a connection, 1 to 1,024: a constant number in a closed loop, the maximum in an open loop.
    pub depth: usize,
    /// Open loop: commands a second over all connections, evenly spaced. None for a closed loop.
    pub rate: Option<u64>,
    /// Duration of the load before the measured time.
    pub warm_up: Duration,
    /// The measured time.
    pub duration: Duration,
    /// The load uses the accounts with ids below this number.
    pub accounts: u32,
    /// The distribution of requests over the accounts.
    pub spread: Spread,
    /// The kinds of requests.
    pub mix: Mix,
    /// The share of frames that is sent twice, from 0 to 1.
    pub duplicates: f64,
    /// Commands in one frame, 1 to 1,024; 1 sends single requests.
    pub run: usize,
    /// Random seed.
    pub seed: u64,
}

impl Default for Plan {
    /// 64 connections with one deposit in flight each, 10,000 accounts, 10 seconds after a warm-up of 1.
    fn default() -> Self {
        Self {
            connections: 64,
            depth: 1,
            rate: None,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(10),
            accounts: 10_000,
            spread: Spread::Uniform,
            mix: Mix::DEPOSITS,
            duplicates: 0.0,
            run: 1,
            seed: 1,
        }
    }
}

/// The distribution of requests over the accounts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// All accounts are equally likely.
    Uniform,
    /// The k-th most popular account has a probability proportional to k to the minus this power (above 0, at most 5).
    Zipf(f64),
}

/// The kinds of requests, as weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Deposits.
    pub deposits: u32,
    /// Withdrawals.
    pub withdrawals: u32,
    /// Transfers between two accounts.
    pub transfers: u32,
    /// Balance inquiries.
    pub balances: u32,
}

impl Mix {
    /// Deposits only.
    pub const DEPOSITS: Self = Self { deposits: 1, withdrawals: 0, transfers: 0, balances: 0 };
    /// Transfers only.
    pub const TRANSFERS: Self = Self { deposits: 0, withdrawals: 0, transfers: 1, balances: 0 };
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deposits, withdrawals, transfers, balances } = self;
        write!(f, "deposits={deposits},withdrawals={withdrawals},transfers={transfers},balances={balances}")
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mix = Self { deposits: 0, withdrawals: 0, transfers: 0, balances: 0 };
        for part in text.split(',') {
            let (name, share) = part.split_once('=').ok_or_else(|| format!("{part:?} is not of the form deposits=N"))?;
            let place = match name {
                "deposits" => &mut mix.deposits,
                "withdrawals" => &mut mix.withdrawals,
                "transfers" => &mut mix.transfers,
                "balances" => &mut mix.balances,
                _ => return Err(format!("{name:?} is none of deposits, withdrawals, transfers, balances")),
            };
            *place = share
                .parse()
                .ok()
                .filter(|share| *share <= 1_000_000)
                .ok_or_else(|| format!("{share:?} is no share from 0 to 1,000,000"))?;
        }
        Ok(mix)
    }
}

/// Why a plan is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPlan(&'static str);

impl Plan {
    /// Validates the plan.
    ///
    /// # Errors
    /// [`BadPlan`] with the first rule that the plan violates.
    pub fn check(&self) -> Result<(), BadPlan> {
        let Mix { deposits, withdrawals, transfers, balances } = self.mix;
        let is_power = |power: f64| power > 0.0 && power <= 5.0;
        let rules = [
            (self.connections > 0 && self.connections <= 4096, "1 to 4,096 connections (a teller has no more sessions)"),
            ((1..=MAX_DEPTH).contains(&self.depth), "1 to 1,024 commands in flight a connection (a session takes no more)"),
            (self.rate != Some(0), "a rate of at least 1 a second"),
            (!self.duration.is_zero(), "a duration of more than nothing"),
            (self.accounts >= 1, "at least one account"),
            (transfers == 0 || self.accounts >= 2, "at least two accounts to transfer between"),
            (deposits + withdrawals + transfers + balances > 0, "a mix that asks for something"),
            ((0.0..=1.0).contains(&self.duplicates), "a share of duplicates from 0 to 1"),
            ((1..=MAX_RUN).contains(&self.run), "1 to 1,024 commands a frame"),
            (self.run <= self.depth, "at least as many commands in flight as in one frame"),
            (self.run == 1 || balances == 0, "runs without balances, which are no commands"),
            (
                matches!(self.spread, Spread::Uniform) || matches!(self.spread, Spread::Zipf(power) if is_power(power)),
                "a Zipf exponent above 0, at most 5",
            ),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(BadPlan(rule)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_survives_text() {
        let mix = Mix { deposits: 5, withdrawals: 3, transfers: 1, balances: 2 };
        assert_eq!(mix.to_string().parse(), Ok(mix));
        assert_eq!("transfers=1".parse(), Ok(Mix::TRANSFERS));
        for bad in ["", "deposits", "loans=1", "deposits=x", "deposits=-1", "deposits=1000001"] {
            assert!(bad.parse::<Mix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        assert_eq!(Plan::default().check(), Ok(()));
        let refused = |change: fn(&mut Plan)| {
            let mut plan = Plan::default();
            change(&mut plan);
            plan.check().unwrap_err().0
        };
        assert!(refused(|plan| plan.connections = 0).contains("connections"));
        assert!(refused(|plan| plan.depth = 1025).contains("in flight"));
        assert!(refused(|plan| plan.rate = Some(0)).contains("rate"));
        assert!(refused(|plan| plan.duration = Duration::ZERO).contains("duration"));
        assert!(refused(|plan| (plan.accounts, plan.mix) = (1, Mix::TRANSFERS)).contains("two accounts"));
        assert!(refused(|plan| plan.mix.deposits = 0).contains("mix"));
        assert!(refused(|plan| plan.duplicates = f64::NAN).contains("duplicates"));
        assert!(refused(|plan| plan.run = 2).contains("as many commands"));
        assert!(refused(|plan| (plan.run, plan.depth, plan.mix.balances) = (2, 2, 1)).contains("balances"));
        assert!(refused(|plan| plan.spread = Spread::Zipf(0.0)).contains("Zipf"));
    }
}
