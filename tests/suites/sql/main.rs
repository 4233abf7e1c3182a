//! Everything that sends SQL, on real servers of both dialects, under the account that `grants` prints.
#![allow(clippy::unwrap_used)]

mod closing;
mod cut;
mod full;
mod held_up;
mod managed;
mod moving;
mod privileges;
mod restarting;

use baton_tests::on_both;

use closing::closes_and_opens;
use cut::{receiver_stops_in_mid_login, receiver_stops_without_its_source};
use full::full_server_is_reached;
use held_up::applier_is_freed;
use moving::moves_the_writer;
use privileges::{lacking_privileges_are_named, replication_account_is_tried};
use restarting::{ends_with_a_waiting_commit, restarts_with_a_relay_log};

on_both!(closes_and_opens, mysql_closes_and_opens, mariadb_closes_and_opens);

on_both!(moves_the_writer, mysql_moves_the_writer, mariadb_moves_the_writer);

on_both!(restarts_with_a_relay_log, mysql_restarts_with_a_relay_log, mariadb_restarts_with_a_relay_log);

on_both!(ends_with_a_waiting_commit, mysql_ends_with_a_waiting_commit, mariadb_ends_with_a_waiting_commit);

on_both!(
    receiver_stops_without_its_source,
    mysql_receiver_stops_without_its_source,
    mariadb_receiver_stops_without_its_source
);

on_both!(receiver_stops_in_mid_login, mysql_receiver_stops_in_mid_login, mariadb_receiver_stops_in_mid_login);

on_both!(full_server_is_reached, mysql_full_server_is_reached, mariadb_full_server_is_reached);

on_both!(applier_is_freed, mysql_applier_is_freed, mariadb_applier_is_freed);

on_both!(
    lacking_privileges_are_named,
    mysql_lacking_privileges_are_named,
    mariadb_lacking_privileges_are_named
);

on_both!(
    replication_account_is_tried,
    mysql_replication_account_is_tried,
    mariadb_replication_account_is_tried
);
