//! Withdraws money once, however often this program is killed and run again with the same arguments.
//!
//! ```text
//! cargo run --example withdraw -- 127.0.0.1:7070 Sami 20 pin.txt journal
//! ```

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bankd::client::End;
use bankd::{Amount, Client, ClientError, Command, Env, Login, Outcome, Owner, Role, Secret};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("withdraw: {error}");
            if let Some(ClientError::OutcomeUnknown { .. }) = error.downcast_ref() {
                eprintln!("withdraw: run the same command again: it resends this request and cannot withdraw twice");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [server, name, amount, pin_file, journal] = args.as_slice() else {
        return Err("usage: withdraw SERVER ACCOUNT AMOUNT PIN_FILE JOURNAL".into());
    };
    let pin = std::fs::read_to_string(pin_file)?;

    let mut client = Client::new(&Env::os(), server, Path::new(journal), Duration::from_secs(5));
    let welcome = client.connect()?;
    let amount = Amount::parse(amount, welcome.decimals)?;
    let login = Login { role: Role::Customer, name: name.clone(), secret: Secret::new(pin.trim().to_owned()) };
    let Owner::Customer(account) = client.log_in(login)? else { return Err("this login has no account".into()) };
    let command = Command::Withdraw { account, amount };

    // An earlier run may have ended before it printed the outcome of this very withdrawal. Then this run is its retry.
    let deadline = client.deadline();
    let earlier = client.journal().open(&deadline)?.requests().find_map(|request| {
        let intent = &request.intent;
        let is_same = intent.command == command && intent.name == *name && intent.store == welcome.store;
        let may_have_moved = matches!(request.end, None | Some(End::Answered(_))) || request.must_be_asked_about();
        (is_same && may_have_moved && !request.is_told).then_some(intent.id)
    });
    let answer = match earlier {
        Some(id) => client.resend(id, command)?,
        None => client.execute(command)?,
    };

    let balance = answer.body.balance.display(welcome.decimals);
    match answer.body.outcome {
        Outcome::Done => println!("withdrew {}, balance {balance}", amount.display(welcome.decimals)),
        declined => println!("declined: {}, balance {balance}", declined.name()),
    }
    // From here on the same arguments mean a new withdrawal.
    client.mark_delivered();
    Ok(())
}
