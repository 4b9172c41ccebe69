//! The receiver's account of one channel's credit: what the sender may still send, what is held
//! here, and what is owed back. Pure arithmetic.
//!
//! Always: in the sender's hands + held + owed = own share + borrowed.

use super::budget::Budget;
use crate::Room;

/// After so many frames in a row without a backlog, borrowed credit goes back to the budget.
const CALM_FRAMES: u32 = 16;

#[derive(Debug)]
pub(super) struct CreditAccount {
    exclusive: u64,
    borrowed: u64,
    most_borrowed: u64,
    /// In the sender's hands.
    outstanding: u64,
    /// In queued frames and unfinished payloads.
    held: u64,
    /// Consumed, but not worth a message yet.
    owed: u64,
    portion: u64,
    calm: u32,
}

/// The sender used more credit than it had.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overrun;

impl CreditAccount {
    /// An account of which the sender knows nothing yet. Credit goes back in `portion`s.
    pub(super) fn new(exclusive: u64, most_borrowed: u64, portion: u64) -> Self {
        Self {
            exclusive,
            borrowed: 0,
            most_borrowed,
            outstanding: 0,
            held: 0,
            owed: exclusive,
            portion,
            calm: 0,
        }
    }

    /// All credit the channel has, wherever it is.
    pub(super) fn total(&self) -> u64 {
        self.exclusive + self.borrowed
    }

    /// Bytes of credit for which data is here.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// How much of its own share is held, and how much of what it borrowed. Its own is taken first.
    pub(super) fn rooms(&self, buffer: usize) -> [Room; 2] {
        let own = self.held.min(self.exclusive);
        [
            Room::of_bytes(own, self.exclusive, buffer),
            Room::of_bytes(self.held - own, self.borrowed, buffer),
        ]
    }

    /// A piece arrived.
    pub(super) fn charge(&mut self, cost: u64) -> Result<(), Overrun> {
        self.outstanding = self.outstanding.checked_sub(cost).ok_or(Overrun)?;
        self.held += cost;
        Ok(())
    }

    /// What the sender said about its backlog, and whether the receiver had nothing left to do: only
    /// then is credit what slows the channel down. Borrows as much as the backlog, if it can.
    pub(super) fn observe(&mut self, backlog: u64, starving: bool, budget: &Budget) {
        if backlog == 0 {
            self.calm = self.calm.saturating_add(1);
            return;
        }
        self.calm = 0;
        if starving {
            let room = self.most_borrowed - self.borrowed;
            let wanted = backlog.max(self.portion).min(room);
            let got = if wanted == 0 {
                0
            } else {
                budget.borrow(wanted)
            };
            self.borrowed += got;
            self.owed += got;
        }
    }

    /// A piece was consumed.
    pub(super) fn release(&mut self, cost: u64, budget: &Budget) {
        self.held -= cost;
        self.owed += cost;
        if self.calm >= CALM_FRAMES && self.borrowed > 0 {
            let returned = self.owed.min(self.borrowed);
            self.borrowed -= returned;
            self.owed -= returned;
            budget.give_back(returned);
        }
    }

    /// The credit to send now; 0 if it can wait.
    pub(super) fn grant(&mut self) -> u32 {
        if self.owed < self.portion {
            return 0;
        }
        let granted = u32::try_from(self.owed).unwrap_or(u32::MAX);
        self.owed -= u64::from(granted);
        self.outstanding += u64::from(granted);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> CreditAccount {
        let mut account = CreditAccount::new(1000, 500, 100);
        assert_eq!(account.grant(), 1000);
        account
    }

    #[test]
    fn credit_comes_back_in_portions() {
        let (mut account, budget) = (opened(), Budget::new(0));
        account.charge(60).unwrap();
        account.charge(60).unwrap();
        account.release(60, &budget);
        assert_eq!(account.grant(), 0);
        account.release(60, &budget);
        assert_eq!(account.grant(), 120);
    }

    #[test]
    fn more_than_was_granted_is_an_overrun() {
        let mut account = opened();
        account.charge(600).unwrap();
        assert_eq!(account.charge(600), Err(Overrun));
        account.charge(400).unwrap();
        assert_eq!(account.charge(1), Err(Overrun));
    }

    #[test]
    fn credit_is_borrowed_only_by_a_starving_receiver_and_returned_when_calm() {
        let (mut account, budget) = (opened(), Budget::new(10_000));
        account.observe(300, false, &budget);
        assert_eq!(account.total(), 1000);
        account.observe(300, true, &budget);
        assert_eq!(account.total(), 1300);
        assert_eq!(account.grant(), 300);
        account.observe(300, true, &budget);
        assert_eq!(account.total(), 1500, "no more than the limit");
        assert_eq!(account.grant(), 200);
        account.charge(1200).unwrap();
        let rooms = account.rooms(100).map(|room| (room.used, room.all));
        assert_eq!(rooms, [(10.0, 10.0), (2.0, 5.0)], "its own is taken first");
        account.release(1200, &budget);
        assert_eq!(account.grant(), 1200);
        assert_eq!(budget.available(), 9500);
        for _ in 0..CALM_FRAMES {
            account.observe(0, true, &budget);
        }
        account.charge(800).unwrap();
        account.release(800, &budget);
        assert_eq!(account.total(), 1000);
        assert_eq!(budget.available(), 10_000);
        assert_eq!(account.grant(), 300);
    }

    #[test]
    fn an_exhausted_budget_lends_nothing() {
        let (mut account, budget) = (opened(), Budget::new(0));
        account.observe(300, true, &budget);
        assert_eq!(account.total(), 1000);
    }
}
