//! Draws random requests: the kind and the account. It allocates nothing and uses no tables.
//!
//! Zipf's distribution is drawn by rejection-inversion (Hormann and Derflinger, 1996): exact for any number of accounts. The
//! popular accounts are scattered over the ids, since accounts with adjacent ids are adjacent in the bank's memory.
//! Left out: encoding (`frames.rs`).

use super::plan::{Mix, Plan, Spread};
use crate::env::sim::Random;
use crate::model::amount::Amount;
use crate::model::command::Command;
use crate::model::types::AccountId;

/// A prime above any number of accounts: multiplication by it, modulo the number of accounts, is a permutation.
const SCATTER: u64 = 4_294_967_291;

/// Draws requests.
pub(super) struct Draw {
    random: Random,
    accounts: u64,
    zipf: Option<Zipf>,
    mix: Mix,
    total: u32,
    duplicates: u64,
    amount: Amount,
}

/// A request before it has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Money(Command),
    Balance(AccountId),
}

impl Draw {
    pub(super) fn new(plan: &Plan) -> Self {
        let Mix { deposits, withdrawals, transfers, balances } = plan.mix;
        let zipf = match plan.spread {
            Spread::Uniform => None,
            Spread::Zipf(power) => Some(Zipf::new(f64::from(plan.accounts), power)),
        };
        Self {
            random: Random::new(plan.seed),
            accounts: u64::from(plan.accounts),
            zipf,
            mix: plan.mix,
            total: deposits + withdrawals + transfers + balances,
            duplicates: threshold(plan.duplicates),
            amount: Amount::new(1).unwrap_or_default(),
        }
    }

    /// The next request.
    pub(super) fn wish(&mut self) -> Wish {
        let Mix { deposits, withdrawals, transfers, .. } = self.mix;
        let account = self.account();
        let amount = self.amount;
        // Nothing but deposits: no draw is needed.
        let at = if self.total == deposits { 0 } else { below(self.random.next_u64(), u64::from(self.total)) };
        if at < u64::from(deposits) {
            return Wish::Money(Command::Deposit { account, amount });
        }
        let at = at - u64::from(deposits);
        if at < u64::from(withdrawals) {
            return Wish::Money(Command::Withdraw { account, amount });
        }
        if at - u64::from(withdrawals) < u64::from(transfers) {
            let to = self.account();
            let to = if to == account { AccountId(next(to.0, self.accounts)) } else { to };
            return Wish::Money(Command::Transfer { from: account, to, amount });
        }
        Wish::Balance(account)
    }

    /// The next command; only for mixes without balances.
    pub(super) fn command(&mut self) -> Command {
        match self.wish() {
            Wish::Money(command) => command,
            Wish::Balance(account) => Command::Deposit { account, amount: self.amount },
        }
    }

    /// Whether the next frame is to be sent twice.
    pub(super) fn is_repeated(&mut self) -> bool {
        self.duplicates > 0 && self.random.next_u64() >> 32 < self.duplicates
    }

    fn account(&mut self) -> AccountId {
        let place = match &self.zipf {
            None => below(self.random.next_u64(), self.accounts),
            Some(zipf) => {
                let rank = zipf.draw(&mut self.random) - 1;
                rank.wrapping_mul(SCATTER).checked_rem(self.accounts).unwrap_or(0)
            }
        };
        // It is below the number of accounts, which is a u32.
        AccountId(u32::try_from(place).unwrap_or(0))
    }
}

/// A share from 0 to 1 as a part of 2^32.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^32")]
fn threshold(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * 4_294_967_296.0) as u64
}

/// A number below `limit` (at most 2^32) from 64 random bits, by multiplication, which is faster than division.
const fn below(bits: u64, limit: u64) -> u64 {
    ((bits >> 32) * limit) >> 32
}

fn next(account: u32, accounts: u64) -> u32 {
    let after = account.wrapping_add(1);
    if u64::from(after) < accounts { after } else { 0 }
}

/// Draws ranks from 1 to `count`; rank k has a probability proportional to k to the minus `power`.
struct Zipf {
    count: f64,
    power: f64,
    /// The range of the integral of the hat function: at 1.5, less 1, and at the end.
    from: f64,
    to: f64,
    /// A candidate within this distance is accepted without a further test.
    sure: f64,
}

impl Zipf {
    fn new(count: f64, power: f64) -> Self {
        let mut zipf = Self { count, power, from: 0.0, to: 0.0, sure: 0.0 };
        zipf.from = zipf.integral(1.5) - 1.0;
        zipf.to = zipf.integral(count + 0.5);
        zipf.sure = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to the number of accounts")]
    fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let unit = (random.next_u64() >> 11) as f64 / 9_007_199_254_740_992.0;
            let at = self.to + unit * (self.from - self.to);
            let x = self.inverse(at);
            let rank = (x + 0.5).floor().clamp(1.0, self.count);
            if rank - x <= self.sure || at >= self.integral(rank + 0.5) - self.weight(rank) {
                return rank as u64;
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        (-self.power * x.ln()).exp()
    }

    /// The integral of x to the minus power, from 1.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        over(log * (1.0 - self.power), f64::exp_m1) * log
    }

    fn inverse(&self, y: f64) -> f64 {
        let t = (y * (1.0 - self.power)).max(-1.0);
        (over(t, f64::ln_1p) * y).exp()
    }
}

/// f(x) / x, where both go to zero together.
fn over(x: f64, f: fn(f64) -> f64) -> f64 {
    if x.abs() > 1e-12 { f(x) / x } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(plan: &Plan, draws: usize) -> Vec<f64> {
        let mut draw = Draw::new(plan);
        let mut counts = vec![0.0; plan.accounts as usize];
        for _ in 0..draws {
            counts[draw.account().0 as usize] += 1.0 / draws as f64;
        }
        counts
    }

    #[test]
    fn uniform_is_uniform() {
        let shares = shares(&Plan { accounts: 100, ..Plan::default() }, 1_000_000);
        assert!(shares.iter().all(|share| (share - 0.01).abs() < 0.001), "{shares:?}");
    }

    #[test]
    fn zipf_follows_its_law_for_powers_around_one() {
        for power in [0.5, 0.99, 1.0, 1.5] {
            let count = 1000_u32;
            let mut shares = shares(&Plan { accounts: count, spread: Spread::Zipf(power), ..Plan::default() }, 1_000_000);
            shares.sort_by(|a, b| b.total_cmp(a));
            let whole: f64 = (1..=count).map(|rank| f64::from(rank).powf(-power)).sum();
            for rank in [1_u32, 2, 3, 10] {
                let (expected, found) = (f64::from(rank).powf(-power) / whole, shares[rank as usize - 1]);
                assert!((found / expected - 1.0).abs() < 0.05, "power {power}, rank {rank}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn popular_accounts_are_no_neighbours() {
        let shares = shares(&Plan { accounts: 1000, spread: Spread::Zipf(1.2), ..Plan::default() }, 200_000);
        let mut places: Vec<usize> = (0..1000).collect();
        places.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
        assert!(places[0].abs_diff(places[1]) > 1 && places[1].abs_diff(places[2]) > 1, "{:?}", &places[..3]);
    }

    #[test]
    fn a_mix_comes_in_its_shares_and_transfers_have_two_accounts() {
        let mix = Mix { deposits: 1, withdrawals: 2, transfers: 3, balances: 4 };
        let mut draw = Draw::new(&Plan { accounts: 2, mix, duplicates: 0.25, ..Plan::default() });
        let mut counts = [0.0_f64; 5];
        for _ in 0..100_000 {
            let kind = match draw.wish() {
                Wish::Money(Command::Deposit { .. }) => 0,
                Wish::Money(Command::Withdraw { .. }) => 1,
                Wish::Money(Command::Transfer { from, to, .. }) => {
                    assert_ne!(from, to);
                    2
                }
                Wish::Balance(_) => 3,
            };
            counts[kind] += 1e-5;
            counts[4] += if draw.is_repeated() { 1e-5 } else { 0.0 };
        }
        for (found, expected) in counts.into_iter().zip([0.1, 0.2, 0.3, 0.4, 0.25]) {
            assert!((found - expected).abs() < 0.01, "{counts:?}");
        }
    }
}
