//! Who goes, who waits, and who is put off.

use uuid::Uuid;

use super::*;

const LIMITS: Limits = Limits { first: 2, most: 3, slow: 2, line: 2, all_lines: 3, remembered: 2 };

const NOW: Timestamp = Timestamp::from_unix_secs(1_000);

fn endpoint(bits: u128) -> EndpointId {
    EndpointId::new(Uuid::from_u128(bits))
}

fn delivery(bits: u128) -> DeliveryId {
    DeliveryId::new(Uuid::from_u128(bits))
}

fn wish(to: u128, bits: u128) -> Wish {
    Wish {
        delivery: delivery(bits),
        endpoint: endpoint(to),
        line: Line::Live,
        changed_at: NOW,
        most: usize::MAX,
        paced: false,
        regardless: false,
    }
}

fn later(to: u128, bits: u128) -> Wish {
    Wish { line: Line::Later, ..wish(to, bits) }
}

fn made(pace: Pace) -> Made {
    let failed = pace != Pace::Good;
    Made { pace, failed, timed_out: false, took: Duration::ZERO, at: NOW }
}

impl Lanes {
    fn go(&self, wish: Wish) -> Permit {
        match self.enter(wish, NOW) {
            Entry::Go(permit) => permit,
            other => panic!("{wish:?} does not go: {other:?}"),
        }
    }

    fn waits(&self, wish: Wish) {
        assert!(matches!(self.enter(wish, NOW), Entry::Wait), "{wish:?} does not wait");
    }
}

/// Who is next, with the permit for it.
fn next(permit: Permit) -> (Permit, DeliveryId) {
    match permit.next(NOW) {
        Next::Take(permit, delivery) => (permit, delivery),
        other => panic!("nobody is next: {other:?}"),
    }
}

fn nobody_is_next(permit: Permit) {
    assert!(matches!(permit.next(NOW), Next::Nothing));
}

/// Two attempts under way at endpoint 1, and deliveries 3 and 4 waiting for it.
fn busy() -> (Lanes, Permit, Permit) {
    let lanes = Lanes::new(LIMITS);
    let (one, two) = (lanes.go(wish(1, 1)), lanes.go(wish(1, 2)));
    lanes.waits(wish(1, 3));
    lanes.waits(wish(1, 4));
    (lanes, one, two)
}

/// An endpoint at which ten attempts have failed in a row.
fn failed(lanes: &Lanes, to: u128) {
    for bits in 100..110 {
        lanes.go(wish(to, bits)).note(made(Pace::Unknown));
    }
}

#[test]
fn a_busy_endpoint_keeps_no_other_waiting() {
    let (lanes, _one, _two) = busy();
    lanes.go(wish(2, 5));
}

#[test]
fn who_finishes_takes_up_who_waited_longest() {
    let (lanes, one, two) = busy();
    let (_two, third) = next(two);
    let (one, fourth) = next(one);
    assert_eq!([third, fourth], [delivery(3), delivery(4)]);
    nobody_is_next(one);
    lanes.go(wish(1, 5));
}

#[test]
fn a_delivery_waits_once_however_often_it_is_rung_for() {
    let (lanes, one, _two) = busy();
    lanes.waits(wish(1, 4));
    assert_eq!(one.take_lines(), [delivery(3), delivery(4)]);
}

#[test]
fn lines_are_bounded_one_by_one_and_together() {
    let (lanes, one, _two) = busy();
    lanes.waits(wish(1, 5));
    let others: Vec<_> = (10..12).map(|bits| lanes.go(wish(2, bits))).collect();
    for bits in 12..14 {
        lanes.waits(wish(2, bits));
    }
    assert_eq!(one.take_lines(), [delivery(3), delivery(4)]);
    assert_eq!(others[0].take_lines(), [delivery(12)]);
}

#[test]
fn after_a_turn_only_what_the_next_ones_get_to_goes_back_to_the_queue() {
    let lanes = Lanes::new(Limits { line: 100, all_lines: 100, ..LIMITS });
    let (one, two) = (lanes.go(wish(1, 1)), lanes.go(wish(1, 2)));
    for bits in 3..=50 {
        lanes.waits(wish(1, bits));
    }
    assert_eq!(one.hand_on(1), [3, 4, 5, 6].map(delivery));
    drop(one);
    let (two, seventh) = next(two);
    assert_eq!(seventh, delivery(7));
    assert_eq!(two.hand_on(1), [8, 9].map(delivery));
    drop(two);
    assert!(lanes.lock().waiting.is_empty());
}

#[test]
fn an_overloaded_endpoint_gets_half_as_much_at_once() {
    let (lanes, mut one, two) = busy();
    one.note(made(Pace::TooMuch));
    nobody_is_next(one);
    let (_two, third) = next(two);
    assert_eq!(third, delivery(3));
    lanes.waits(wish(1, 5));
}

#[test]
fn an_endpoint_that_keeps_up_gets_more_at_once_up_to_the_most() {
    let (lanes, mut one, _two) = busy();
    for _ in 0..20 {
        one.note(made(Pace::Good));
    }
    let _three = lanes.go(wish(1, 5));
    lanes.waits(wish(1, 6));
}

#[test]
fn no_more_is_under_way_than_the_owner_allows() {
    let lanes = Lanes::new(LIMITS);
    let _one = lanes.go(Wish { most: 1, ..wish(1, 1) });
    lanes.waits(Wish { most: 1, ..wish(1, 2) });
}

#[test]
fn who_may_have_to_wait_for_its_turn_holds_a_part_of_the_slots_and_no_more() {
    let lanes = Lanes::new(LIMITS);
    let paced = |to| Wish { paced: true, ..wish(to, to) };
    let _held = [lanes.go(paced(1)), lanes.go(paced(2))];
    lanes.waits(paced(3));
    lanes.go(wish(4, 4));
}

#[test]
fn a_permit_that_is_dropped_makes_room() {
    let (lanes, one, _two) = busy();
    drop(one);
    lanes.go(wish(1, 5));
}

#[test]
fn what_can_wait_goes_after_what_cannot_and_leaves_a_place_for_it() {
    let lanes = Lanes::new(LIMITS);
    let replay = lanes.go(later(1, 1));
    lanes.waits(later(1, 2));
    let live = lanes.go(wish(1, 3));
    lanes.waits(wish(1, 4));
    let (live, fourth) = next(live);
    assert_eq!(fourth, delivery(4));
    let (_replay, second) = next(replay);
    assert_eq!(second, delivery(2));
    nobody_is_next(live);
}

#[test]
fn what_is_slow_holds_a_part_of_the_slots_and_no_more() {
    let lanes = Lanes::new(LIMITS);
    let _held = [lanes.go(later(1, 1)), lanes.go(later(2, 2))];
    lanes.waits(later(3, 3));
    lanes.go(wish(3, 4));
}

#[test]
fn an_endpoint_that_was_slow_twice_lately_is_slow() {
    let lanes = Lanes::new(LIMITS);
    let mut permit = lanes.go(wish(1, 1));
    for _ in 0..2 {
        permit.note(Made { took: Duration::from_secs(3), ..made(Pace::Good) });
    }
    let _held = [lanes.go(later(2, 2)), lanes.go(later(3, 3))];
    lanes.waits(wish(1, 4));
}

#[test]
fn an_endpoint_that_fails_all_the_time_is_left_alone_for_a_while() {
    let lanes = Lanes::new(LIMITS);
    failed(&lanes, 1);
    let until = NOW.plus(Duration::from_secs(30));
    assert!(matches!(lanes.enter(wish(1, 1), NOW), Entry::Shut(shut) if shut == until));
    lanes.go(Wish { regardless: true, ..wish(1, 1) });

    let Entry::Go(mut probe) = lanes.enter(wish(1, 2), until) else { panic!("nobody probes") };
    assert!(matches!(lanes.enter(wish(1, 3), until), Entry::Wait));
    probe.note(Made { at: until, ..made(Pace::Good) });
    let Next::Take(_, third) = probe.next(until) else { panic!("nobody is next") };
    assert_eq!(third, delivery(3));
}

#[test]
fn who_waits_when_an_endpoint_is_left_alone_is_put_off() {
    let lanes = Lanes::new(LIMITS);
    let (mut one, _two) = (lanes.go(wish(1, 1)), lanes.go(wish(1, 2)));
    lanes.waits(wish(1, 3));
    for _ in 0..10 {
        one.note(made(Pace::Unknown));
    }
    let Next::Shut(waiting, until) = one.next(NOW) else { panic!("it is not left alone") };
    assert_eq!(waiting, [delivery(3)]);
    assert_eq!(until, NOW.plus(Duration::from_secs(30)));
}

#[test]
fn an_endpoint_that_hangs_is_left_alone_after_the_first_call_that_is_given_up() {
    let lanes = Lanes::new(Limits { first: 4, most: 4, ..LIMITS });
    let (begun, limit) = (Instant::now(), Duration::from_secs(15));
    let given_up = Made { timed_out: true, took: limit, ..made(Pace::TooMuch) };
    let call = |to, bits, at| {
        let mut permit = lanes.go(wish(to, bits));
        permit.begin(at);
        permit
    };
    let [mut first, _second, _third, _fourth] = [1, 2, 3, 4].map(|bits| call(1, bits, begun));
    first.note(given_up);
    assert!(matches!(lanes.enter(wish(1, 5), NOW), Entry::Shut(_)));

    // One that answers another meanwhile is slow and does not hang.
    let [mut first, mut second, _third, _fourth] = [1, 2, 3, 4].map(|bits| call(2, bits, begun));
    second.note(Made { took: Duration::from_secs(5), ..made(Pace::Good) });
    second.begin(begun);
    first.note(given_up);
    assert!(!matches!(lanes.enter(wish(2, 5), NOW), Entry::Shut(_)));
}

#[test]
fn an_endpoint_about_which_its_owner_did_something_is_probed_at_once() {
    let lanes = Lanes::new(LIMITS);
    let mut before = lanes.go(wish(1, 50));
    failed(&lanes, 1);
    assert!(matches!(lanes.enter(wish(1, 1), NOW), Entry::Shut(_)));
    let changed = |bits| Wish { changed_at: NOW.plus(Duration::from_millis(1)), ..wish(1, bits) };

    let mut probe = lanes.go(changed(1));
    // What was under way before says nothing, and is not taken for the probe.
    before.note(made(Pace::Unknown));
    drop(before);
    lanes.waits(changed(2));
    probe.note(made(Pace::Good));
    let (_probe, second) = next(probe);
    assert_eq!(second, delivery(2));
}

#[test]
fn how_an_endpoint_takes_what_it_is_sent_is_remembered_while_it_is_idle() {
    let (lanes, mut one, two) = busy();
    one.note(made(Pace::TooMuch));
    lanes.empty();
    drop((one, two));

    let _one = lanes.go(wish(1, 5));
    lanes.waits(wish(1, 6));
}

#[test]
fn of_idle_endpoints_only_so_many_are_remembered() {
    let lanes = Lanes::new(LIMITS);
    for bits in 1..=3 {
        lanes.go(wish(bits, bits)).note(made(Pace::TooMuch));
    }
    assert!(lanes.lock().lanes.is_empty());
}

#[test]
fn an_idle_endpoint_of_which_nothing_is_known_is_forgotten() {
    let (lanes, one, two) = busy();
    assert_eq!(lanes.empty().len(), 2);
    drop((one, two));
    assert!(lanes.lock().lanes.is_empty());
}
