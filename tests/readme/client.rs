use std::time::Duration;

use bankd::{Amount, Client, Command, Env, Login, Role, Secret};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut client = Client::new(&Env::os(), "127.0.0.1:7070", "journal".as_ref(), Duration::from_secs(30));
    client.connect()?;
    client.log_in(Login { role: Role::Customer, name: "Sami".to_owned(), secret: Secret::new("1234".to_owned()) })?;
    let account = client.find_account("Sami")?;
    let amount = Amount::new(720).ok_or("the amount is too large")?;
    let answer = client.execute(Command::Withdraw { account, amount })?;
    println!("request {}: {:?}, balance {}", answer.request, answer.body.outcome, answer.body.balance.get());
    client.finish();
    Ok(())
}
