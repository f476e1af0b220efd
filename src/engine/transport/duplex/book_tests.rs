//! Answers reach who waits for them and nobody else, and everybody is told of the end.

use futures_util::FutureExt;

use super::super::notices::Notice;
use super::*;

fn book() -> Arc<Book> {
    Arc::default()
}

/// A request with these ids that was sent.
fn sent(book: &Book, ids: Range<u64>) -> Answer {
    let first = ids.start;
    let answer = book.enter(ids, false).unwrap();
    assert!(book.begin(first));
    answer
}

fn deliver(book: &Arc<Book>, message: &'static str) {
    book.deliver(Bytes::from_static(message.as_bytes())).unwrap();
}

fn body(answer: &mut Answer) -> Option<Bytes> {
    answer.try_recv().ok().map(|outcome| outcome.unwrap().0)
}

fn lost() -> End {
    End::of_connection("lost")
}

#[test]
fn answers_in_any_order_reach_who_waits_for_them() {
    let book = book();
    let (mut one, mut other) = (sent(&book, 1..2), sent(&book, 2..3));
    deliver(&book, r#"{"id":2,"result":"b"}"#);
    assert_eq!(body(&mut one), None);
    deliver(&book, r#"{"id":1,"result":"a"}"#);
    assert_eq!(body(&mut other).unwrap(), r#"{"id":2,"result":"b"}"#);
    assert_eq!(body(&mut one).unwrap(), r#"{"id":1,"result":"a"}"#);
}

#[test]
fn a_batch_is_found_by_any_of_its_ids() {
    let book = book();
    let (mut batch, mut after) = (sent(&book, 5..8), sent(&book, 8..9));
    deliver(&book, r#"[{"id":7,"result":1},{"id":5,"result":1},{"id":6,"result":1}]"#);
    assert!(body(&mut batch).is_some() && body(&mut after).is_none());
}

#[test]
fn an_answer_that_nobody_waits_for_reaches_nobody() {
    let book = book();
    let mut waits = sent(&book, 2..3);
    for stranger in [r#"{"id":1,"result":1}"#, r#"{"id":3,"result":1}"#, r#"{"id":"2","result":1}"#] {
        deliver(&book, stranger);
    }
    // What is not sent cannot be answered.
    let mut unsent = book.enter(9..10, false).unwrap();
    deliver(&book, r#"{"id":9,"result":1}"#);
    assert!(body(&mut waits).is_none() && body(&mut unsent).is_none());
}

#[test]
fn an_answer_without_an_id_is_that_of_the_only_one_who_waits() {
    const REFUSAL: &str = r#"{"id":null,"error":{"code":-32700,"message":"no"}}"#;
    let book = book();
    let mut only = sent(&book, 1..2);
    let mut unsent = book.enter(9..10, false).unwrap();
    deliver(&book, REFUSAL);
    assert!(body(&mut only).is_some() && body(&mut unsent).is_none());
    let (mut one, mut other) = (sent(&book, 2..3), sent(&book, 3..4));
    deliver(&book, REFUSAL);
    assert!(body(&mut one).is_none() && body(&mut other).is_none());
}

#[test]
fn it_may_be_meant_for_one_that_was_given_up_until_that_is_answered() {
    const REFUSAL: &str = r#"{"id":null,"error":"no"}"#;
    let book = book();
    let _gone = sent(&book, 1..2);
    assert_eq!(book.forget(1), Some(true));
    let mut waits = sent(&book, 2..3);
    deliver(&book, REFUSAL);
    assert!(body(&mut waits).is_none());
    deliver(&book, r#"{"id":1,"result":1}"#);
    deliver(&book, REFUSAL);
    assert!(body(&mut waits).is_some());
    // One that comes while nobody waits is that of the one that was given up.
    let _gone = sent(&book, 3..4);
    book.forget(3);
    deliver(&book, REFUSAL);
    let mut waits = sent(&book, 4..5);
    deliver(&book, REFUSAL);
    assert!(body(&mut waits).is_some());
}

#[test]
fn one_that_is_given_up_before_it_is_sent_is_not_sent() {
    let book = book();
    let _gone = book.enter(1..2, false).unwrap();
    assert_eq!(book.forget(1), Some(false));
    assert!(!book.begin(1));
    assert_eq!(book.forget(1), None);
}

#[test]
fn at_the_end_each_is_told_whether_it_was_sent_and_nobody_is_taken_on_any_more() {
    let book = book();
    let (mut one, mut other) = (sent(&book, 1..2), sent(&book, 2..3));
    let mut unsent = book.enter(3..4, false).unwrap();
    assert!(book.end(&lost()));
    for answer in [&mut one, &mut other] {
        assert!(matches!(answer.try_recv().unwrap(), Err(SendError::Unanswered(_))));
    }
    assert!(matches!(unsent.try_recv().unwrap(), Err(SendError::NotSent)));
    assert!(book.enter(4..5, false).is_none());
    assert!(!book.end(&lost()));
}

#[test]
fn an_answer_that_ends_the_socket_fails_the_only_one_who_waits_for_good() {
    for count in [1, 2] {
        let book = book();
        let mut answers: Vec<_> = (0..count).map(|id| sent(&book, id..id + 1)).collect();
        let end = book.deliver(Bytes::from("hello")).unwrap_err();
        book.end(&end);
        for answer in &mut answers {
            let error = answer.try_recv().unwrap().err().unwrap();
            assert_eq!(matches!(error, SendError::Failed(_)), count == 1, "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_subscription_has_what_comes_right_behind_the_answer_that_tells_its_id() {
    for id in [r#""0x1""#, "17"] {
        let book = book();
        let notice = |item: u64| {
            Bytes::from(format!(r#"{{"method":"m","params":{{"subscription":{id},"result":{item}}}}}"#))
        };
        book.deliver(notice(0)).unwrap();
        let mut answer = book.enter(1..2, true).unwrap();
        assert!(book.begin(1));
        book.deliver(Bytes::from(format!(r#"{{"id":1,"result":{id}}}"#))).unwrap();
        book.deliver(notice(1)).unwrap();
        let mut notices = answer.try_recv().unwrap().unwrap().1.unwrap();
        assert_eq!(notices.next().await, Some(Notice::Item(Bytes::from("1"))));
        book.end(&lost());
        assert_eq!(notices.next().await, None);
    }
}

#[test]
fn one_that_nobody_takes_is_forgotten_with_its_answer_or_later() {
    let book = book();
    for is_gone in [false, true] {
        let mut answer = book.enter(1..2, true).unwrap();
        assert!(book.begin(1));
        if is_gone {
            drop(answer);
            deliver(&book, r#"{"id":1,"result":"0x1"}"#);
        } else {
            deliver(&book, r#"{"id":1,"result":"0x1"}"#);
            let notices = answer.try_recv().unwrap().unwrap().1;
            assert_eq!(book.lock().feeds.len(), 1);
            drop(notices);
        }
        assert!(book.lock().feeds.is_empty());
    }
}

#[tokio::test]
async fn of_two_with_one_id_the_later_one_counts() {
    let book = book();
    let follow = || {
        let mut answer = book.enter(1..2, true).unwrap();
        assert!(book.begin(1));
        deliver(&book, r#"{"id":1,"result":"0x1"}"#);
        answer.try_recv().unwrap().unwrap().1.unwrap()
    };
    let mut earlier = follow();
    let mut later = follow();
    assert_eq!(earlier.next().await, None);
    drop(earlier);
    deliver(&book, r#"{"method":"m","params":{"subscription":"0x1","result":1}}"#);
    book.end(&lost());
    assert_eq!(later.next().await, Some(Notice::Item(Bytes::from("1"))));
}

#[tokio::test]
async fn subscriptions_that_are_to_be_made_elsewhere_end_with_what_they_have_brought() {
    let book = book();
    let mut answers = [1, 2].map(|id| {
        let answer = book.enter(id..id + 1, true).unwrap();
        assert!(book.begin(id));
        answer
    });
    deliver(&book, r#"{"id":1,"result":"0x1"}"#);
    deliver(&book, r#"{"method":"m","params":{"subscription":"0x1","result":1}}"#);
    book.end_feeds();
    // One that was on its way.
    deliver(&book, r#"{"id":2,"result":"0x2"}"#);
    let [mut one, mut other] =
        answers.each_mut().map(|answer| answer.try_recv().unwrap().unwrap().1.unwrap());
    assert_eq!((one.next().await, one.next().await), (Some(Notice::Item(Bytes::from("1"))), None));
    assert_eq!(other.next().now_or_never(), Some(None));
}

#[test]
fn a_result_that_is_no_id_makes_no_subscription() {
    for result in ["null", "true", "{}", "[1]"] {
        let book = book();
        let mut answer = book.enter(1..2, true).unwrap();
        assert!(book.begin(1));
        book.deliver(Bytes::from(format!(r#"{{"id":1,"result":{result}}}"#))).unwrap();
        assert!(answer.try_recv().unwrap().unwrap().1.is_none());
    }
}

#[tokio::test]
async fn a_subscription_that_its_node_ends_has_what_came_before_and_then_the_end() {
    let book = book();
    let [mut ended, mut other] = [1, 2].map(|id| {
        let mut answer = book.enter(id..id + 1, true).unwrap();
        assert!(book.begin(id));
        book.deliver(Bytes::from(format!(r#"{{"id":{id},"result":{id}}}"#))).unwrap();
        answer.try_recv().unwrap().unwrap().1.unwrap()
    });
    deliver(&book, r#"{"method":"m","params":{"subscription":1,"result":7}}"#);
    deliver(&book, r#"{"method":"m","params":{"subscription":1,"error":"lagged"}}"#);
    deliver(&book, r#"{"method":"m","params":{"subscription":1,"result":8}}"#);
    assert_eq!(ended.next().await, Some(Notice::Item(Bytes::from("7"))));
    assert_eq!(ended.next().now_or_never(), Some(None));
    assert_eq!(other.next().now_or_never(), None);
}
