//! Pipelines many deposits and withdrawals of one account: each takes effect once, in the order of the lines.
//!
//! ```text
//! printf 'deposit 30\nwithdraw 20\n' | cargo run --example batch -- 127.0.0.1:7070 Sami pin.txt journal
//! ```

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bankd::{AccountId, Amount, Client, Command, Env, Fate, Login, Owner, Role, Secret, Stopped};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("batch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [server, name, pin_file, journal] = args.as_slice() else {
        return Err("usage: batch SERVER ACCOUNT PIN_FILE JOURNAL < COMMANDS".into());
    };
    let pin = std::fs::read_to_string(pin_file)?;

    let mut client = Client::new(&Env::os(), server, Path::new(journal), Duration::from_secs(10));
    let decimals = client.connect()?.decimals;
    let login = Login { role: Role::Customer, name: name.clone(), secret: Secret::new(pin.trim().to_owned()) };
    let Owner::Customer(account) = client.log_in(login)? else { return Err("this login has no account".into()) };

    // All lines are read before anything is sent: one bad line, and nothing is.
    let lines: Vec<String> = std::io::stdin().lines().collect::<Result<_, _>>()?;
    let commands = lines.iter().map(|line| parse(line, account, decimals)).collect::<Result<Vec<_>, _>>()?;

    // Up to 64 requests are in flight at once.
    let ended = client.execute_all(&commands, 64, &mut |answers| {
        for answer in answers {
            println!("{} {}, balance {}", answer.request, answer.body.outcome.name(), answer.body.balance.display(decimals));
        }
        true
    });
    if let Err(Stopped { failure, rest }) = ended {
        for fate in &rest {
            match fate {
                Fate::Answered(answer) => println!("{} {}", answer.request, answer.body.outcome.name()),
                Fate::InDoubt(id) => println!("{id} unknown; `bankd resolve` with this journal finds out"),
                Fate::AskTheBank(id) => println!("{id} unknown; the bank finds out by `bankd explain {id}`"),
                Fate::NotExecuted(id) | Fate::NotSent(id) => println!("{id} not executed"),
            }
        }
        return Err(failure.into());
    }
    Ok(())
}

/// `deposit AMOUNT` or `withdraw AMOUNT`.
fn parse(line: &str, account: AccountId, decimals: u8) -> Result<Command, Box<dyn Error>> {
    let (verb, amount) = line.split_once(' ').ok_or_else(|| format!("{line:?} is no command"))?;
    let amount = Amount::parse(amount, decimals)?;
    match verb {
        "deposit" => Ok(Command::Deposit { account, amount }),
        "withdraw" => Ok(Command::Withdraw { account, amount }),
        _ => Err(format!("{verb:?} is neither deposit nor withdraw").into()),
    }
}
