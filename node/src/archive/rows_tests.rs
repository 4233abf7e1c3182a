#![allow(clippy::unwrap_used)]
use super::*;

fn table_map(types: &[u8], meta: &[u8]) -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0];
    for name in ["shop", "orders"] {
        body.push(u8::try_from(name.len()).unwrap());
        body.extend(name.bytes());
        body.push(0);
    }
    body.push(u8::try_from(types.len()).unwrap());
    body.extend(types);
    body.push(u8::try_from(meta.len()).unwrap());
    body.extend(meta);
    body.push(0xff);
    body
}

fn table(types: &[u8], meta: &[u8]) -> Table {
    Table::read(&table_map(types, meta)).unwrap().1
}

const OF_1: Form = Form { change: Change::Inserted, has_extra: false, is_partial: false };

/// An event of a form with these images.
fn rows(form: Form, width: u8, present: u8, images: &[u8]) -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0];
    if form.has_extra {
        body.extend([5, 0, 1, 2, 3]);
    }
    body.extend([width, present]);
    if form.change == Change::Updated {
        body.push(present);
    }
    body.extend(images);
    body
}

#[test]
fn a_table_is_what_its_event_says() {
    let (id, table) = Table::read(&table_map(&[3], &[])).unwrap();
    assert_eq!((id, table.schema.as_str(), table.name.as_str()), (9, "shop", "orders"));
    let whole = table_map(&[3, 15, 252], &[4, 0, 2]);
    for end in 0..whole.len() {
        drop(Table::read(&whole[..end]));
    }
}

#[test]
fn each_type_has_its_length() {
    let lengths: &[(u8, &[u8], &[u8])] = &[
        (1, &[], &[0; 1]),
        (2, &[], &[0; 2]),
        (3, &[], &[0; 4]),
        (4, &[4], &[0; 4]),
        (5, &[8], &[0; 8]),
        (7, &[], &[0; 4]),
        (8, &[], &[0; 8]),
        (9, &[], &[0; 3]),
        (10, &[], &[0; 3]),
        (11, &[], &[0; 3]),
        (12, &[], &[0; 8]),
        (13, &[], &[0; 1]),
        (15, &[255, 0], &[2, 0, 0]),
        (15, &[0, 1], &[2, 0, 0, 0]),
        (16, &[3, 1], &[0; 2]),
        (17, &[6], &[0; 7]),
        (18, &[0], &[0; 5]),
        (19, &[3], &[0; 5]),
        (140, &[2], &[1, 0, 0]),
        (141, &[9, 0], &[1, 0]),
        (242, &[4], &[1, 0, 0, 0, 0]),
        (245, &[4], &[1, 0, 0, 0, 0]),
        // DECIMAL(10,2): 8 digits before the point and 2 after it.
        (246, &[10, 2], &[0; 5]),
        (252, &[2], &[1, 0, 0]),
        // ENUM of one byte, CHAR(3), and a CHAR of 1020 bytes.
        (254, &[247, 1], &[0; 1]),
        (254, &[254, 12], &[2, 0, 0]),
        (254, &[0xce, 0xfc], &[1, 0, 0]),
        (255, &[4], &[1, 0, 0, 0, 0]),
    ];
    for (kind, meta, value) in lengths {
        let table = table(&[*kind, 1], meta);
        let image: Vec<u8> = [0].iter().chain(*value).chain(&[7]).copied().collect();
        let both = [image.clone(), image.clone()].concat();
        assert_eq!(count(OF_1, &rows(OF_1, 2, 3, &both), &table), Some(2), "{kind} {meta:?}");
        let cut = &both[..both.len() - 1];
        assert_eq!(count(OF_1, &rows(OF_1, 2, 3, cut), &table), None, "{kind} {meta:?}");
    }
}

#[test]
fn an_image_may_have_some_of_the_columns_and_nulls() {
    let table = table(&[3, 15, 3], &[10, 0]);
    // The first and the last column; of the second row the last is NULL.
    let images = [0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3];
    assert_eq!(count(OF_1, &rows(OF_1, 3, 0b101, &images), &table), Some(2));
    let updated = Form { change: Change::Updated, has_extra: true, is_partial: false };
    assert_eq!(count(updated, &rows(updated, 3, 0b101, &images), &table), Some(1));
    assert_eq!(rows_at(updated, &rows(updated, 3, 0b101, &images)), Some(8 + 5 + 1 + 2));
    assert_eq!(count(OF_1, &rows(OF_1, 3, 0, &[]), &table), Some(0));
    assert_eq!(count(OF_1, &rows(OF_1, 2, 3, &images), &table), None, "the table has three columns");
    let nothing = rows(OF_1, 3, 0, &[1]);
    assert_eq!(count(OF_1, &nothing, &table), None, "a row without columns");
}

#[test]
fn a_change_inside_of_json_has_a_length() {
    let table = table(&[3, 245], &[4]);
    let form = Form { change: Change::Updated, has_extra: true, is_partial: true };
    let image = [0, 1, 0, 0, 0, 2, 0, 0, 0, 9, 9];
    let partial = [&image[..], &[1, 1], &image].concat();
    assert_eq!(count(form, &rows(form, 2, 3, &partial), &table), Some(1));
    let plain = [&image[..], &[0], &image].concat();
    assert_eq!(count(form, &rows(form, 2, 3, &[plain, partial].concat()), &table), Some(2));
}

#[test]
fn what_is_not_known_is_not_counted() {
    for (kind, meta) in [(20, &[][..]), (99, &[]), (252, &[9]), (246, &[2, 10])] {
        let table = table(&[kind], meta);
        assert_eq!((count(OF_1, &rows(OF_1, 1, 1, &[0, 0]), &table), table.columns), (None, None), "{kind}");
    }
    let table = table(&[3, 245], &[4]);
    let form = Form { change: Change::Updated, has_extra: true, is_partial: true };
    let whole = rows(form, 2, 3, &[0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9]);
    for end in 0..whole.len() {
        assert!(count(form, &whole[..end], &table).is_none_or(|rows| rows == 0), "{end}");
    }
    assert_eq!(count(form, &whole, &table), Some(1));
}
