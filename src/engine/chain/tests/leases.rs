//! Connections that are leased of a chain whose nodes come and go.

use tokio::time::Instant;

use super::*;

async fn leased(chain: &Chain, time: Duration) -> Result<()> {
    chain.connection(Timeout::Of(Some(time)), "here".into()).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_leased_where_one_of_two_cannot_say_who_it_is() {
    let nodes = [Node::echo(), Node::echo()];
    let chain = chain(&nodes, None).await;
    nodes[0].is_strange.store(true, Ordering::Relaxed);
    for say in [Say::Gone, Say::Garbage, Say::Status(503)] {
        let name = format!("{say:?}");
        nodes[0].on(move |_, _| say.clone());
        for _ in 0..20 {
            chain.router.doubt(0);
            assert_eq!(kind(leased(&chain, SECOND).await), None, "{name}");
            sleep(SECOND).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_has_one_deadline_wherever_it_is_looked_for() {
    let nodes = [Node::echo(), Node::echo()];
    let chain = chain(&nodes, None).await;
    for (place, node) in nodes.iter().enumerate() {
        node.is_strange.store(true, Ordering::Relaxed);
        node.on(|_, _| Say::After(900 * MS, Box::new(Say::Garbage)));
        chain.router.doubt(place);
    }
    let began = Instant::now();
    assert!(leased(&chain, SECOND).await.is_err());
    assert_eq!(began.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn who_is_in_line_for_a_connection_when_the_node_goes_away_gets_none_to_a_stranger() {
    for count in 1..=2 {
        let nodes: Vec<_> = (0..count).map(|_| Node::echo()).collect();
        let chain = connecting(&nodes, &Gate::new(1), None, None).await.unwrap();
        // The other one is away, and stays so.
        for (endpoint, node) in chain.router.endpoints().iter().zip(&nodes).skip(1) {
            node.is_strange.store(true, Ordering::Relaxed);
            node.on(|_, _| Say::Gone);
            chain.router.set_aside(endpoint, Error::new(Kind::ChainConnection, "it is gone"));
        }
        nodes[0].on(|_, _| Say::After(200 * MS, Box::new(Say::Gone)));
        let params = json!([7]);
        let lost = async { kind(ask(&chain, "something_that_changes", &params).await) };
        let leased = async {
            sleep(MS).await;
            *nodes[0].network.lock().unwrap() = "0x5";
            leased(&chain, 10 * SECOND).await
        };
        let (lost, leased) = tokio::join!(lost, leased);
        assert_eq!(
            (lost, kind(leased)),
            (Some(Kind::ConnectionClosed), Some(Kind::ChainMismatch)),
            "{count}"
        );
    }
}
