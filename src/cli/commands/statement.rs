//! `bankd statement`: prints an account's movements, the newest first.
//!
//! Left out: finding them (the bank), and what a line looks like (`support/statement_lines.rs`).

use bankd::client::StatementPage;
use bankd::model::invariant::to_u64;
use bankd::model::types::{AccountId, BankTime, Lsn};
use bankd::wire::message::{Ask, MAX_STATEMENT, Reply, Statement as Page};
use clap::Args;

use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::operator::OperatorOptions;
use crate::cli::support::options::{ClientOptions, Desk};
use crate::cli::support::output::{is_lost, say};
use crate::cli::support::statement_lines::{Format, Printer};
use crate::cli::support::times::{first_moment, last_moment};

const WHAT: &str = "cannot show the statement";

/// Show an account's movements, the newest first: time, log entry, kind, other account, amount, balance after it, request.
#[derive(Debug, Args)]
pub struct Statement {
    /// Name of the account
    name: String,
    /// Number of movements to show [default: 10, or all with --from or --to]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["from", "to"])]
    last: Option<u64>,
    /// Only movements at or after this time: a date such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z, in UTC
    #[arg(long, value_name = "TIME", value_parser = first_moment)]
    from: Option<BankTime>,
    /// Only movements at or before this time; a date counts to its end
    #[arg(long, value_name = "TIME", value_parser = last_moment)]
    to: Option<BankTime>,
    /// Show requests that were refused and moved nothing, too
    #[arg(long)]
    refused: bool,
    /// Ask as the operator, over the socket in the store's directory, without a PIN
    #[arg(long, conflicts_with_all = ["pin_file", "pin_stdin", "teller", "token_file"])]
    operator: bool,
    /// Print the movements as one JSON object
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print the movements as CSV, with a header
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    options: ClientOptions,
    #[command(flatten)]
    store: OperatorOptions,
}

impl Statement {
    /// Prints the movements, page by page.
    ///
    /// # Errors
    /// [`Failure`], as `bankd balance`.
    pub fn run(self) -> Result<Exit, Failure> {
        if self.operator {
            let mut operator = self.store.connect(WHAT)?;
            let decimals = operator.welcome().decimals;
            let Reply::Account { account } = operator.query(&Ask::FindAccount { name: self.name.clone() })? else {
                return Err(operator.nonsense());
            };
            return self.print(account, decimals, &mut |page| match operator.query(&page.ask())? {
                Reply::Statement(page) => Ok(page),
                _ => Err(operator.nonsense()),
            });
        }
        let Desk { mut client, welcome, account } = self.options.desk(WHAT, &self.name)?;
        self.print(account, welcome.decimals, &mut |page| client.statement(page).map_err(|error| Failure::client(WHAT, &error)))
    }

    fn print(
        &self,
        account: AccountId,
        decimals: u8,
        ask: &mut dyn FnMut(StatementPage) -> Result<Page, Failure>,
    ) -> Result<Exit, Failure> {
        let is_ranged = self.from.is_some() || self.to.is_some();
        let mut left = self.last.unwrap_or(if is_ranged { u64::MAX } else { 10 });
        let mut page = StatementPage {
            from: self.from.unwrap_or_default(),
            to: self.to.unwrap_or(BankTime(u64::MAX)),
            with_refused: self.refused,
            ..StatementPage::newest(account)
        };
        let format = if self.json {
            Format::Json
        } else if self.csv {
            Format::Csv
        } else {
            Format::Words
        };
        let mut printer = None;
        loop {
            page.limit = u16::try_from(left).unwrap_or(MAX_STATEMENT).min(MAX_STATEMENT);
            let found = ask(page)?;
            left = left.saturating_sub(to_u64(found.lines.len()));
            page.before = found.lines.last().map_or(Lsn(0), |line| line.lsn);
            // Nothing is printed before the first answer, so that a failure is the only output.
            let printer = printer.get_or_insert_with(|| Printer::begin(format, &self.name, account, decimals));
            found.lines.iter().for_each(|line| printer.line(line));
            let is_over = !found.has_more || found.lines.is_empty() || left == 0 || is_lost();
            if is_over {
                printer.end(found.has_more, found.is_cut);
                if found.is_cut && format == Format::Words {
                    say("older movements are no longer in the bank's log");
                }
                return Ok(Exit::Done);
            }
        }
    }
}
