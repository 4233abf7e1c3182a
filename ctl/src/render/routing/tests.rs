use super::super::fixtures::{NOW_MS, PLAIN, now};
use super::*;

fn server(node: &str, wanted: [&str; 2], status: [&str; 2]) -> ProxyServer {
    ProxyServer {
        node: node.into(),
        address: format!("10.0.0.{}:3306", node.trim_start_matches("db")),
        writer_wanted: wanted[0].into(),
        reader_wanted: wanted[1].into(),
        writer_status: status[0].into(),
        reader_status: status[1].into(),
        right: true,
    }
}

fn proxy(name: &str, servers: Vec<ProxyServer>) -> Proxy {
    Proxy {
        name: name.into(),
        admin: "10.0.0.9:6032".into(),
        state: "right".into(),
        read_ms: NOW_MS - 800,
        writer_hostgroup: 10,
        reader_hostgroup: 20,
        servers,
        ..Proxy::default()
    }
}

fn reply(proxies: Vec<Proxy>) -> RoutingReply {
    RoutingReply { managed: true, epoch: 7, writer: "db1".into(), proxies }
}

#[test]
fn what_is_right_what_is_wrong_and_what_is_not_batons() {
    let servers = || {
        vec![
            server("db1", ["online", "absent"], ["ONLINE", ""]),
            server("db2", ["absent", "online"], ["", "ONLINE"]),
            server("db3", ["absent", "soft"], ["", "OFFLINE_SOFT"]),
        ]
    };
    let mut wrong = servers();
    wrong[1] = server("db2", ["absent", "absent"], ["ONLINE", "ONLINE"]);
    wrong[1].right = false;
    wrong.push(ProxyServer {
        node: String::new(),
        address: "10.0.0.77:3306".into(),
        ..server("", ["any", "any"], ["", "ONLINE"])
    });
    let mut drifted = proxy("app2", wrong);
    drifted.state = "diverged".into();
    drifted.note = "10.0.0.2:3306 is ONLINE in hostgroup 10, where it does not belong".into();
    (drifted.repairs, drifted.repaired) = (2, "10.0.0.1:3306 is missing from hostgroup 10".into());
    let mut silent = proxy("app3", Vec::new());
    silent.state = "unreachable".into();
    silent.read_ms = 0;
    silent.note = "nothing listens on 10.0.0.11:6032; start it, or correct admin in its [[proxysql]]; it is tried again".into();
    insta::assert_snapshot!(routing(&reply(vec![proxy("app1", servers()), drifted, silent]), now(), &PLAIN));
}

#[test]
fn without_a_proxysql_or_before_adoption_it_says_so() {
    insta::assert_snapshot!(routing(&reply(Vec::new()), now(), &PLAIN), @"no [[proxysql]] in the leader's baton.toml: clients use the embedded routers");
    let watched = RoutingReply {
        managed: false,
        ..reply(vec![Proxy { state: "unknown".into(), read_ms: 0, ..proxy("app1", Vec::new()) }])
    };
    insta::assert_snapshot!(routing(&watched, now(), &PLAIN), @r"
    not adopted: no ProxySQL is touched

    ○ app1   10.0.0.9:6032   unknown   never read
    ");
}
