#![allow(clippy::unwrap_used)]
use super::*;

/// An event without its header.
pub(crate) type Made = (u8, Vec<u8>);

/// When all of them were made.
pub(crate) const AT_S: u32 = 1_700_000_000;

/// As it stands in a file: with a checksum that nobody looks at, or without.
pub(crate) fn framed((kind, body): &Made, sums: bool) -> Vec<u8> {
    let sum = if sums { 4 } else { 0 };
    let mut bytes = AT_S.to_le_bytes().to_vec();
    bytes.push(*kind);
    bytes.extend(7_u32.to_le_bytes());
    bytes.extend(u32::try_from(HEADER + body.len() + sum).unwrap().to_le_bytes());
    bytes.extend([0; 6]);
    bytes.extend(body);
    bytes.extend(vec![0xee; sum]);
    bytes
}

/// A binlog file of these.
pub(crate) fn file(sums: bool, events: &[Made]) -> Vec<u8> {
    let mut format = vec![0; 57 + 40];
    format.extend([u8::from(sums), 1, 2, 3, 4]);
    let mut bytes = MAGIC.to_vec();
    bytes.extend(framed(&(kind::FORMAT, format), false));
    bytes.extend(events.iter().flat_map(|event| framed(event, sums)));
    bytes
}

pub(crate) fn mariadb_gtid(sequence: u64) -> Made {
    let mut body = sequence.to_le_bytes().to_vec();
    body.extend([0; 11]);
    (kind::MARIADB_GTID, body)
}

/// Committed on its writer at `us`, and a second later on the server that was read.
pub(crate) fn mysql_gtid(number: u64, us: u64) -> Made {
    let mut body = vec![0];
    body.extend([0xaa; 16]);
    body.extend(number.to_le_bytes());
    body.push(CLOCKS);
    body.extend([0; 16]);
    body.extend(&((us + 1_000_000) | ORIGINAL_FOLLOWS).to_le_bytes()[..7]);
    body.extend(&us.to_le_bytes()[..7]);
    (kind::GTID, body)
}

pub(crate) fn query(schema: &str, text: &str) -> Made {
    let mut body = vec![0; 13];
    body[8] = u8::try_from(schema.len()).unwrap();
    body[11] = 3;
    body.extend([9, 9, 9]);
    body.extend(schema.bytes());
    body.push(0);
    body.extend(text.bytes());
    (kind::QUERY, body)
}

/// Of the same number, the way MySQL's serialization has it.
fn varint(number: u64) -> Vec<u8> {
    match number {
        small @ 0..=127 => vec![u8::try_from(small).unwrap() << 1],
        _ => [0xff].into_iter().chain(number.to_le_bytes()).collect(),
    }
}

fn tagged_gtid(tag: &str, number: u64, us: u64) -> Made {
    let mut body = [1, 100, 1].into_iter().flat_map(varint).collect::<Vec<_>>();
    let field = |id: u64, value: Vec<u8>| varint(id).into_iter().chain(value).collect::<Vec<_>>();
    body.extend(field(FLAGS, varint(0)));
    body.extend(field(UUID, [0xaa; 16].into_iter().flat_map(varint).collect()));
    body.extend(field(NUMBER, varint(number << 1)));
    body.extend(field(TAG, varint(tag.len() as u64).into_iter().chain(tag.bytes()).collect()));
    body.extend(field(4, varint(0)));
    body.extend(field(COMMITTED, varint(us + 5)));
    body.extend(field(COMMITTED_ORIGINALLY, varint(us)));
    (kind::TAGGED_GTID, body)
}

/// Type and body of each event after the first.
fn read(bytes: &[u8]) -> Result<Vec<Made>, String> {
    let mut events = Events::of_file(bytes)?;
    let mut all = Vec::new();
    while let Some(head) = events.next()? {
        let mut body = Vec::new();
        events.body().read_to_end(&mut body).unwrap();
        if head.kind != kind::FORMAT {
            all.push((head.kind, body));
        }
    }
    Ok(all)
}

#[test]
fn a_checksum_is_no_part_of_an_event() {
    let made = [mariadb_gtid(5), query("shop", "DROP TABLE t"), (kind::XID, vec![0; 8])];
    for sums in [false, true] {
        assert_eq!(read(&file(sums, &made)).unwrap(), made, "{sums}");
    }
    let mut odd = file(true, &made);
    let at = 4 + HEADER + 57 + 40;
    odd[at] = 7;
    assert_eq!(read(&odd), Err("its checksums are of an unknown kind: 7".into()));
    assert_eq!(read(b"no binlog at all"), Err("it is no binlog file".into()));
}

#[test]
fn what_is_not_read_is_passed_over() {
    let bytes = file(true, &[query("shop", "DROP TABLE t"), mariadb_gtid(5)]);
    let mut events = Events::of_file(bytes.as_slice()).unwrap();
    let kinds: Vec<u8> = std::iter::from_fn(|| events.next().unwrap()).map(|head| head.kind).collect();
    assert_eq!(kinds, [kind::FORMAT, kind::QUERY, kind::MARIADB_GTID]);
}

#[test]
fn what_is_cut_off_is_an_error_unless_it_ends_with_an_event() {
    let made = [mariadb_gtid(5), query("shop", "DROP TABLE t"), mysql_gtid(6, 9), tagged_gtid("a", 1, 2)];
    let whole = file(true, &made);
    let mut ends = vec![MAGIC.len()];
    ends.extend((0..=made.len()).map(|count| file(true, &made[..count]).len()));
    for end in 0..=whole.len() {
        let is_whole = ends.contains(&end);
        assert_eq!(read(&whole[..end]).is_ok(), is_whole, "{end} of {}", whole.len());
    }
    let mut short = whole.clone();
    let size_at = 4 + HEADER + 57 + 40 + 5 + 9;
    short[size_at..size_at + 4].copy_from_slice(&5_u32.to_le_bytes());
    assert_eq!(read(&short), Err("an event is shorter than its header".into()));
}

#[test]
fn a_transaction_has_a_name_and_a_time() {
    let of = |(kind, body): Made| {
        let head = Head { kind, at_s: AT_S, server_id: 7, is_ignorable: false };
        let whole = begun(head, body.as_slice()).map(|(gtid, us)| (gtid.to_string(), us));
        for end in 0..body.len() {
            drop(begun(head, &body[..end]));
        }
        whole
    };
    let second = u64::from(AT_S) * 1_000_000;
    let uuid = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
    assert_eq!(of(mariadb_gtid(5)), Ok(("0-7-5".into(), second)));
    assert_eq!(of(mysql_gtid(6, 12_345)), Ok((format!("{uuid}:6"), 12_345)));
    assert_eq!(of(tagged_gtid("app", 300, 99)), Ok((format!("{uuid}:app:300"), 99)));
    assert_eq!(of(tagged_gtid("", 3, 0)), Ok((format!("{uuid}:3"), 5)));
    assert!(of(mysql_gtid(0, 1)).is_err() && of(mysql_gtid(u64::MAX, 1)).is_err());
    assert!(of(tagged_gtid("no tag!", 3, 0)).is_err());
}
