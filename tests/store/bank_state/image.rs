//! Images: the same state has the same bytes, they load as the same bank again, and no other bytes are accepted.

use bankd::bank::{Bank, ImageDigest, ImageError};
use bankd::model::amount::Amount;
use bankd::model::entry::{Action, Setting};
use bankd::model::types::{AccountId, Epoch};
use sha2::{Digest, Sha256};

use super::support::{self, Logged, OPERATOR, customer, deposit, plain, tag, teller, transfer, under, withdraw};

/// The image of a bank, and what it is known by.
pub fn image(bank: &Bank) -> (Vec<u8>, ImageDigest) {
    let mut bytes = Vec::new();
    let digest = bank.write_image(&mut bytes).unwrap();
    assert_eq!(digest, digest_of(&bytes));
    (bytes, digest)
}

pub fn read(bytes: &[u8], digest: &ImageDigest) -> Result<Bank, ImageError> {
    let mut rest = bytes;
    Bank::read_image(&mut rest, digest)
}

/// Through its image and back; the bank that comes back has the same image.
pub fn through(bank: &Bank) -> Bank {
    let (bytes, digest) = image(bank);
    let back = read(&bytes, &digest).unwrap();
    assert!(back == *bank, "an image gives the same bank again");
    assert_eq!(image(&back).0, bytes, "and that gives the same image");
    back.check_conservation().unwrap();
    back
}

fn digest_of(bytes: &[u8]) -> ImageDigest {
    ImageDigest { length: bytes.len() as u64, sha256: Sha256::digest(bytes).into() }
}

/// One of everything that an image can hold.
fn example() -> Logged {
    let mut logged = Logged::new();
    logged.operate(Action::Start(Epoch(0xE0)));
    fill(&mut logged);
    logged.operate(Action::Start(Epoch(0xE1)));
    logged
}

/// Everything of it but the starts, which version 1 did not know.
fn fill(logged: &mut Logged) {
    logged.operate(Action::Setting { setting: Setting::LoginFailures, value: 2 });
    logged.operate(support::account("\u{e9}", 4, 0));
    logged.operate(Action::AccountClose(AccountId(2)));
    logged.operate(support::account("locked", 5, 7));
    logged.operate(Action::AccountLock(AccountId(3)));
    logged.operate(support::add_teller("gone", 6));
    logged.operate(Action::TellerRevoke(bankd::model::types::TellerId(1)));
    let (first, second) = (logged.open(customer(0)), logged.open(teller(0)));
    logged.open(customer(1));
    logged.request(customer(0), first, 1, 1, deposit(0, 5));
    logged.request(customer(0), first, 2, 1, withdraw(0, 1_000));
    logged.request(teller(0), second, 1, 1, transfer(0, 1, 30));
    logged.apply(&under(customer(0), first, 3, 2, Action::Cancel)).unwrap();
    logged.request(teller(0), second, 2, 3, deposit(9, 1));
    for (owner, tried) in [(customer(1), 77), (teller(0), 78), (teller(0), 79)] {
        logged.apply(&plain(owner, Action::LoginAttempt(Box::new([tried; 32])))).unwrap();
    }
}

#[test]
fn the_format_is_what_it_always_was() {
    let (bytes, digest) = image(&example().bank);
    let golden = include_bytes!("../../golden/image-v2.bin");
    let difference = bytes.iter().zip(golden).position(|(made, golden)| made != golden);
    assert!(bytes.len() == golden.len() && difference.is_none(), "it differs from its golden bytes at {difference:?}");
    assert!(read(golden, &digest).unwrap() == example().bank);
}

#[test]
fn an_image_of_version_1_is_read_as_before() {
    let golden = include_bytes!("../../golden/image.bin");
    let mut logged = Logged::new();
    fill(&mut logged);
    assert!(read(golden, &digest_of(golden)).unwrap() == logged.bank);
}

#[test]
fn every_changed_byte_is_refused() {
    let (bytes, digest) = image(&example().bank);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(read(&changed, &digest).is_err(), "bit {bit} of byte {at}");
        }
    }
    for cut in 0..bytes.len() {
        assert!(read(&bytes[..cut], &digest).is_err(), "cut at {cut}");
    }
}

/// Even where the digest is right, bytes are refused, or they are the one image of some other bank.
#[test]
fn with_a_right_digest_only_images_are_images() {
    let (bytes, _) = image(&example().bank);
    let mut taken = 0;
    for at in 0..bytes.len() {
        for change in [1, 2, 4, 0x80, 0xFF] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            if let Ok(other) = read(&changed, &digest_of(&changed)) {
                assert_eq!(image(&other).0, changed, "byte {at}");
                other.check_conservation().unwrap();
                taken += 1;
            }
        }
    }
    // Tags, names, times and the like may be anything; most bytes may not.
    assert!(taken > 100 && taken < bytes.len() * 4, "{taken} of {}", bytes.len() * 5);
    for cut in 0..bytes.len() {
        assert!(read(&bytes[..cut], &digest_of(&bytes[..cut])).is_err(), "cut at {cut}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(read(&longer, &digest_of(&longer)).is_err());
}

/// A count is held against what is left before memory is taken for it: 4 billion of anything do not fit.
#[test]
fn counts_are_held_against_the_length() {
    let (bytes, _) = image(&example().bank);
    for at in 0..bytes.len() - 4 {
        let mut changed = bytes.clone();
        changed[at..at + 4].copy_from_slice(&[0xFF; 4]);
        let _ = read(&changed, &digest_of(&changed));
    }
}

#[test]
fn another_version_is_named() {
    let (mut bytes, _) = image(&example().bank);
    bytes[8] = 9;
    assert!(matches!(read(&bytes, &digest_of(&bytes)), Err(ImageError::Version(9))));
}

#[test]
fn a_bank_without_entries_has_an_image() {
    through(&Bank::new());
}

/// More than one buffer: names and fields that lie across its end.
#[test]
fn large_images() {
    let mut logged = Logged::default();
    for action in [support::genesis(), support::lineage(1)] {
        logged.operate(action);
    }
    let mut bank = logged.bank;
    for number in 0..20_000_u64 {
        let name = format!("{number}{}", "x".repeat((number % 50) as usize));
        let open = bankd::model::entry::AccountOpen { name: name.into(), pin: tag(1), balance: Amount::new(number).unwrap() };
        let entry = plain(OPERATOR, Action::AccountOpen(Box::new(open)));
        let (lsn, time) = (bank.applied().next(), bank.time());
        bankd::bank::apply(&mut bank, lsn, &entry, time).unwrap();
    }
    assert!(image(&bank).0.len() > 5 * (256 << 10));
    let back = through(&bank);
    assert_eq!(back.find_account("12345xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), Some(AccountId(12_345)));
}

/// The orders of tables differ, the image does not.
#[test]
fn the_way_to_a_state_does_not_show() {
    let logged = example();
    let mut other = logged.replay();
    assert_eq!(image(&other), image(&logged.bank));
    // A session that came and went leaves a vacant place in one table, and its number in the other.
    let mut with = logged.bank.clone();
    for bank in [&mut with, &mut other] {
        let lsn = bank.applied().next();
        bankd::bank::apply(bank, lsn, &plain(customer(1), Action::OpenSession { evicted: None }), bank.time()).unwrap();
    }
    let (one, two) = (through(&with), other);
    assert_eq!(image(&one), image(&two));
}
