use std::fs::{self, File};

use super::cuts::{Folder, format, gtid, maria, query};
use crate::archive::cut::{Cut, Cutter};
use crate::archive::part::{cut_out, transactions};
use crate::archive::segment::Segment;
use crate::archive::spool::Spool;

/// A segment of the transactions 101, 102 and 105, before which there was 100.
async fn segment(folder: &Folder) -> std::path::PathBuf {
    let spool = Spool::open(&folder.0, 0).await.unwrap();
    let mut segment = Segment::begin(&spool.part(), spool.room(), &format(), maria("0-1-100")).unwrap();
    let mut cutter = Cutter::new(&maria("0-1-100"));
    for sequence in [101, 102, 105] {
        for event in
            [gtid(sequence, 0), query("BEGIN"), query(&format!("INSERT {sequence}")), query("COMMIT")]
        {
            match cutter.judge(&event).unwrap() {
                Cut::Begins(begun) => segment.begins(&event, *begun).unwrap(),
                Cut::Within => segment.within(&event).unwrap(),
                Cut::Ends => segment.ends(&event).unwrap(),
                other => panic!("{other:?}"),
            }
        }
    }
    segment.finish().unwrap().unwrap().0
}

#[tokio::test]
async fn a_part_of_a_segment_is_a_binlog_file_of_its_own() {
    let folder = Folder::new("parts");
    let (whole, after) = (segment(&folder).await, maria("0-1-100"));
    let seen = transactions(File::open(&whole).unwrap(), &after).unwrap();
    let names: Vec<_> = seen.iter().map(|seen| (seen.gtid.as_str(), seen.numbers.clone())).collect();
    let numbers = |text: &str| maria(text).numbers();
    assert_eq!(names[0], ("0-1-101", numbers("0-1-101..101")));
    assert_eq!(names[2], ("0-1-105", numbers("0-1-103..105")), "nobody else has 103 and 104");
    assert_eq!(seen[0].at_us, 1_700_000_000_000_000);

    let part = folder.0.join("part");
    let cut = |take: &str| cut_out(File::open(&whole).unwrap(), &after, &numbers(take), &part);
    let span = cut("0-1-102..105").unwrap();
    assert_eq!((span.transactions, span.added), (2, maria("0-1-102..105")));
    let text = String::from_utf8_lossy(&fs::read(&part).unwrap()).into_owned();
    assert!(!text.contains("INSERT 101") && text.contains("INSERT 102") && text.contains("INSERT 105"));
    assert_eq!(transactions(File::open(&part).unwrap(), &maria("0-1-101")).unwrap().as_slice(), &seen[1..]);

    assert!(cut("0-1-102..103").unwrap_err().contains("is wanted in part"));
    assert_eq!(cut("0-1-105..106").unwrap_err(), "its transaction 0-1-103..105 is wanted in part");
    assert_eq!(cut("0-1-106..107").unwrap_err(), "it does not hold 0-0-106..107, which its entry says");
    fs::write(&part, "no binlog").unwrap();
    assert_eq!(transactions(File::open(&part).unwrap(), &after), Err("it is no binlog file".into()));
}
