//! The lab's front end: the dialogues of the report's three servers, as a state machine from text to text.
//!
//! It turns a client's text into the requests that any client may send, and the replies into the report's wording. A
//! dialogue goes step by step: while its request is unanswered, nothing further is read.
//! Left out: where a message ends (`line_ends.rs`), lines and wording (`text.rs`), random errors (`rules.rs`), sending
//! the requests (`session.rs`), and the bank.

use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

use crate::engine::Fatal;
use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Outcome};
use crate::model::secret::Secret;
use crate::model::types::{AccountId, Owner, RequestNumber, SessionId};
use crate::server::lab::line_ends;
use crate::server::lab::line_ends::Habit;
use crate::server::lab::rules::Chance;
use crate::server::lab::text;
use crate::server::lab::text::Front;
use crate::wire::message::{Ask, Refusal, Reply, Role};

/// Which of the report's servers a port stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// A line of text into lower case.
    Lower,
    /// An integer and `prime` or `palindrome`.
    Number,
    /// The teller machine.
    Atm,
}

impl Port {
    /// The name in the ready line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lower => "lab-lower",
            Self::Number => "lab-number",
            Self::Atm => "lab-atm",
        }
    }
}

/// The settings of the bank and of the lab's rules that a dialogue needs.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Decimals of every amount.
    pub decimals: u8,
    /// A login ends after this many successful transactions.
    pub max_transactions: Option<u64>,
}

/// One client's dialogue.
///
/// Invariants: `question` is set only in the state `Asked`, from its creation until it is listed; the number of a
/// customer's next request counts the recorded answers of its session, so an unrecorded refusal leaves the number free;
/// in the bytes that are kept for it only line ends end a message.
#[derive(Debug)]
pub struct Dialogue {
    port: Port,
    terms: Terms,
    state: State,
    question: Option<Ask>,
    habit: Habit,
    silent_at: Option<Duration>,
}

/// What the client says next, or which request is in flight.
#[derive(Debug)]
enum State {
    /// Lower-casing and numbers: the only message.
    Only,
    Name,
    Pin {
        name: String,
    },
    Menu(Customer),
    Amount(Customer, Movement),
    Asked(About),
}

#[derive(Clone, Copy, Debug)]
enum About {
    Lower,
    Prime,
    Palindrome,
    Login,
    Session(AccountId),
    Balance(Customer),
    Movement(Customer),
    Leaving,
}

/// A customer who has logged in.
#[derive(Clone, Copy, Debug)]
struct Customer {
    account: AccountId,
    session: SessionId,
    /// The number of the next request.
    next: RequestNumber,
    /// Successful transactions.
    done: u64,
}

#[derive(Clone, Copy, Debug)]
enum Movement {
    Withdrawal,
    Deposit,
}

/// The result of reading one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// There is no whole message yet.
    Nothing,
    /// It was answered at once, or it needs no answer.
    Answered,
    /// It became a request to the bank: [`Dialogue::question`].
    Question,
    /// The dialogue is over.
    Over,
}

impl Dialogue {
    /// A new dialogue. Its first words are appended to `out`.
    pub fn start(port: Port, terms: Terms, out: &mut Vec<u8>) -> Self {
        let state = match port {
            Port::Lower | Port::Number => State::Only,
            Port::Atm => {
                say(out, text::NAME_PROMPT);
                State::Name
            }
        };
        Self { port, terms, state, question: None, habit: Habit::Unknown, silent_at: None }
    }

    /// Appends the bytes of one read to the bytes that are kept from earlier ones.
    pub fn join(&mut self, kept: &mut Vec<u8>, read: &[u8]) {
        self.habit.join(kept, read);
    }

    /// Notes when the client counts as silent, if it has begun a message and its habit is unknown. Returns the time
    /// noted before.
    pub const fn note_silence(&mut self, at: Duration) -> Option<Duration> {
        self.silent_at.replace(at)
    }

    /// Whether silence would end a message that has begun.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.habit == Habit::Unknown
    }

    /// Notes that the client has sent nothing more up to `at`. Returns whether that ends a message in the kept bytes.
    pub fn end_by_silence(&mut self, at: Duration, kept: &mut Vec<u8>) -> bool {
        self.silent_at.take_if(|silent_at| *silent_at == at).is_some() && self.habit.end_by_silence(kept)
    }

    /// Notes that the client sends no more. Returns whether that ends a message in the kept bytes.
    pub fn end_by_end(kept: &mut Vec<u8>) -> bool {
        line_ends::end_by_end(kept)
    }

    /// The request to send now. It stays until [`Dialogue::asked`].
    #[must_use]
    pub const fn question(&self) -> Option<&Ask> {
        self.question.as_ref()
    }

    /// Notes that the request is listed: [`Dialogue::reply`] comes next.
    ///
    /// # Errors
    /// [`Fatal::Broken`] if there is none.
    pub fn asked(&mut self) -> Result<(), Fatal> {
        self.question.take().map(drop).ok_or(Fatal::Broken("a dialogue's question is asked that does not exist"))
    }

    /// Handles the message at the front of `bytes`; returns how many bytes it took. Answers are appended to `out`.
    ///
    /// # Errors
    /// [`Fatal::Broken`] while a request is unanswered.
    pub fn next(&mut self, bytes: &[u8], chance: &mut Chance, out: &mut Vec<u8>) -> Result<(usize, Heard), Fatal> {
        if self.question.is_some() {
            return Ok((0, Heard::Question));
        }
        Ok(match text::front(bytes) {
            Front::Incomplete => (0, Heard::Nothing),
            Front::TooLong => {
                say(out, text::TOO_LONG);
                (bytes.len(), Heard::Over)
            }
            Front::Message(message, taken) => match std::str::from_utf8(message) {
                Ok(message) => (taken, self.hear(message, chance, out)?),
                Err(_) => {
                    say(out, text::NOT_UTF8);
                    (taken, if self.port == Port::Atm { Heard::Answered } else { Heard::Over })
                }
            },
        })
    }

    fn hear(&mut self, message: &str, chance: &mut Chance, out: &mut Vec<u8>) -> Result<Heard, Fatal> {
        Ok(match std::mem::replace(&mut self.state, State::Asked(About::Leaving)) {
            State::Only => self.hear_only(message, out),
            State::Name => {
                say(out, text::PIN_PROMPT);
                self.wait(State::Pin { name: message.to_owned() })
            }
            State::Pin { name } => {
                let secret = Secret::new(message.to_owned());
                self.ask(About::Login, Ask::Login { role: Role::Customer, name, secret })
            }
            State::Menu(customer) => self.hear_command(customer, message, out),
            State::Amount(customer, movement) => self.hear_amount(customer, movement, message, chance, out),
            State::Asked(_) => return Err(Fatal::Broken("a dialogue reads on while its question is unanswered")),
        })
    }

    /// Handles the only message of the ports that answer once.
    fn hear_only(&mut self, message: &str, out: &mut Vec<u8>) -> Heard {
        if self.port == Port::Lower {
            return self.ask(About::Lower, Ask::Lower { text: message.to_owned() });
        }
        let mut words = message.split_whitespace();
        if let (Some(number), Some(operation), None) = (words.next(), words.next(), words.next()) {
            let number = number.to_owned();
            match operation.to_lowercase().as_str() {
                "prime" => return self.ask(About::Prime, Ask::Prime { number }),
                "palindrome" => return self.ask(About::Palindrome, Ask::Palindrome { number }),
                _ => {}
            }
        }
        say(out, text::BAD_INPUT);
        Heard::Over
    }

    fn hear_command(&mut self, customer: Customer, message: &str, out: &mut Vec<u8>) -> Heard {
        let movement = match message {
            "1" => return self.ask(About::Balance(customer), Ask::Balance { account: customer.account }),
            "2" => Movement::Withdrawal,
            "3" => Movement::Deposit,
            "4" => return self.leave(customer),
            _ => {
                say(out, text::BAD_COMMAND);
                return self.wait(State::Menu(customer));
            }
        };
        say(out, text::AMOUNT_PROMPT);
        self.wait(State::Amount(customer, movement))
    }

    fn hear_amount(&mut self, customer: Customer, movement: Movement, message: &str, chance: &mut Chance, out: &mut Vec<u8>) -> Heard {
        let account = customer.account;
        let command = Amount::parse(message, self.terms.decimals).map(|amount| match movement {
            Movement::Withdrawal => Command::Withdraw { account, amount },
            Movement::Deposit => Command::Deposit { account, amount },
        });
        match command.map(|command| (command, command.check())) {
            Err(error) => say_of(out, "Invalid amount: ", &error),
            Ok((_, Err(malformed))) => say_of(out, "Invalid amount: ", &malformed),
            // Drawn before the request takes a number: it leaves no trace in the session.
            Ok(_) if chance.strikes() => say(out, text::TRANSACTION_ERROR),
            Ok((command, Ok(()))) => {
                let number = customer.next;
                // These clients cannot resend, so each request acknowledges its own reply too: a session that is left
                // behind can be evicted.
                let acked_below = number.next().unwrap_or(number);
                return self.ask(About::Movement(customer), Ask::Request { number, acked_below, command });
            }
        }
        self.wait(State::Menu(customer))
    }

    /// Handles the reply to the request. Returns true when the dialogue is over. Answers are appended to `out`.
    ///
    /// # Errors
    /// [`Fatal::Broken`] if there was no request, or it cannot have this reply.
    pub fn reply(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Result<bool, Fatal> {
        let State::Asked(about) = self.state else {
            return Err(Fatal::Broken("a dialogue has a reply without a question"));
        };
        let heard = match (about, reply) {
            (About::Lower, Reply::Text(text)) => over(out, text),
            (About::Prime, Reply::Truth(is)) => over(out, if *is { "Prime" } else { "NonPrime" }),
            (About::Palindrome, Reply::Truth(is)) => over(out, if *is { "Palindrome" } else { "NonPalindrome" }),
            (About::Prime | About::Palindrome, Reply::Refused(Refusal::NotAnInteger)) => over(out, text::BAD_INPUT),
            (About::Login, Reply::LoggedIn { owner: Owner::Customer(account) }) => self.ask(About::Session(*account), Ask::OpenSession),
            (About::Login, Reply::Refused(Refusal::BadLogin)) => {
                say(out, text::BAD_LOGIN);
                self.wait(State::Name)
            }
            (About::Session(account), Reply::Session(info)) => {
                say(out, text::LOGGED_IN);
                self.wait(State::Menu(Customer { account, session: info.session, next: RequestNumber(1), done: 0 }))
            }
            (About::Balance(customer), Reply::Balance { balance, .. }) => {
                say_of(out, "Current balance is ", &balance.display(self.terms.decimals));
                self.wait(State::Menu(customer))
            }
            (About::Movement(customer), Reply::Answer { body, .. }) => self.moved(customer, body, out),
            (About::Balance(customer) | About::Movement(customer), Reply::Refused(refusal)) if refusal.is_retryable() => {
                say_of(out, "Sorry: ", refusal);
                self.wait(State::Menu(customer))
            }
            (About::Leaving, _) => Heard::Over,
            (_, Reply::Refused(refusal)) => {
                say_of(out, "Sorry: ", refusal);
                Heard::Over
            }
            _ => return Err(Fatal::Broken("a dialogue's question has a reply that it cannot have")),
        };
        Ok(heard == Heard::Over)
    }

    fn moved(&mut self, mut customer: Customer, body: &Body, out: &mut Vec<u8>) -> Heard {
        customer.next = customer.next.next().unwrap_or(customer.next);
        match body.outcome {
            Outcome::Done => {
                customer.done = customer.done.saturating_add(1);
                say_of(out, "New balance is ", &body.balance.display(self.terms.decimals));
            }
            Outcome::InsufficientBalance => say(out, "Insufficient Balance"),
            Outcome::NoSuchAccount => say(out, "There is no such account"),
            Outcome::AccountClosed => say(out, "The account is closed"),
            Outcome::AccountLocked => say(out, "The account is locked"),
            Outcome::BalanceOverflow => say(out, "The account would hold more than it can"),
            Outcome::Cancelled => say(out, "The request was cancelled"),
        }
        match self.terms.max_transactions {
            Some(limit) if customer.done >= limit => {
                say_of(out, "\n", &format_args!("{} successful transactions done", customer.done));
                self.leave(customer)
            }
            _ => self.wait(State::Menu(customer)),
        }
    }

    fn leave(&mut self, customer: Customer) -> Heard {
        self.ask(About::Leaving, Ask::CloseSession { session: customer.session })
    }

    fn ask(&mut self, about: About, question: Ask) -> Heard {
        self.state = State::Asked(about);
        self.question = Some(question);
        Heard::Question
    }

    fn wait(&mut self, state: State) -> Heard {
        self.state = state;
        Heard::Answered
    }
}

fn say(out: &mut Vec<u8>, words: &str) {
    out.extend_from_slice(words.as_bytes());
}

fn say_of(out: &mut Vec<u8>, words: &str, what: &dyn Display) {
    let written = write!(out, "{words}{what}");
    assert!(written.is_ok(), "a Vec takes everything");
}

fn over(out: &mut Vec<u8>, words: &str) -> Heard {
    say(out, words);
    Heard::Over
}
