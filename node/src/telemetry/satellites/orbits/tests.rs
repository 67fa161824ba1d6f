//! Against the cases that are published with SGP4 (Vallado, Crawford, Hujsak and Kelso, *Revisiting Spacetrack Report #3*,
//! AIAA 2006-6753: SGP4-VER.TLE and its results, WGS 72): minutes after the epoch, and kilometres in TEME.

use super::*;

/// What it is, its element set, and where its satellite is at some times.
type Case = (&'static str, &'static str, &'static str, [(f64, Vector); 3]);

const PUBLISHED: &[Case] = &[
    (
        "00005: a first orbit, of high eccentricity",
        "1 00005U 58002B   00179.78495062  .00000023  00000-0  28098-4 0  4753",
        "2 00005  34.2682 348.7242 1859667 331.7664  19.3264 10.82419157413667",
        [
            (0.0, [7_022.465_292_66, -1_400.082_967_55, 0.039_951_55]),
            (2_160.0, [190.197_969_88, 7_746.966_536_14, 5_110.006_754_12]),
            (4_320.0, [-9_060.473_735_69, 4_658.709_525_02, 813.686_731_53]),
        ],
    ),
    (
        "06251: near earth, with drag",
        "1 06251U 62025E   06176.82412014  .00008885  00000-0  12808-3 0  3985",
        "2 06251  58.0579  54.0425 0030035 139.1568 221.1854 15.56387291  6774",
        [
            (0.0, [3_988.310_226_99, 5_498.966_572_35, 0.900_558_79]),
            (1_440.0, [-2_777.146_823_35, -5_663.160_317_08, -2_462.548_891_23]),
            (2_880.0, [1_159.278_028_97, 5_056.601_754_95, 4_353.494_185_79]),
        ],
    ),
    (
        "08195: a resonance of half a day",
        "1 08195U 75081A   06176.33215444  .00000099  00000-0  11873-3 0   813",
        "2 08195  64.1586 279.0717 6877146 264.7651  20.2257  2.00491383225656",
        [
            (0.0, [2_349.894_833_5, -14_785.938_115_62, 0.021_193_78]),
            (1_440.0, [2_890.806_382_68, -15_446.439_523, 948.770_101_76]),
            (2_880.0, [3_417.209_315_87, -16_038.795_106_65, 1_894.749_340_58]),
        ],
    ),
    (
        "23599: a perigee below 220 km",
        "1 23599U 95029B   06171.76535463  .00085586  12891-6  12956-2 0  2905",
        "2 23599   6.9327   0.2849 5782022 274.4436  25.2425  4.47796565123555",
        [
            (0.0, [9_892.637_943_41, 35.761_449_69, -1.082_288_38]),
            (360.0, [11_376.239_416_78, 12_858.971_213_66, 1_563.406_601_72]),
            (720.0, [7_141.247_425_26, 20_538.971_151_58, 2_501.180_599_66]),
        ],
    ),
    (
        "25954: geostationary",
        "1 25954U 99060A   04039.68057285 -.00000108  00000-0  00000-0 0  6847",
        "2 25954   0.0004 243.8136 0001765  15.5294  22.7134  1.00271289 15615",
        [
            (0.0, [8_827.156_604_72, -41_223.009_712_37, 3.634_829_63]),
            (0.0, [8_827.156_604_72, -41_223.009_712_37, 3.634_829_63]),
            (1_440.0, [9_533.277_508_18, -41_065.523_902_14, 3.307_564_82]),
        ],
    ),
    (
        "28057: near earth, sun-synchronous",
        "1 28057U 03049A   06177.78615833  .00000060  00000-0  35940-4 0  1836",
        "2 28057  98.4283 247.6961 0000884  88.1964 271.9322 14.35478080140550",
        [
            (0.0, [-2_715.282_374_86, -6_619.264_368_89, -0.013_414_43]),
            (1_440.0, [688.160_565_94, 4_124.876_189_64, 5_794.559_944_49]),
            (2_880.0, [1_788.423_345_8, 1_990.505_309_57, -6_640.593_377_25]),
        ],
    ),
    (
        "28350: near earth, low and with much drag",
        "1 28350U 04020A   06167.21788666  .16154492  76267-5  18678-3 0  8894",
        "2 28350  64.9977 345.6130 0024870 260.7578  99.9590 16.47856722116490",
        [
            (0.0, [6_333.081_231_28, -1_580.828_523_26, 90.693_557_2]),
            (720.0, [-446.424_609_16, 2_932.288_725_88, 5_759.193_897_57]),
            (1_440.0, [-4_527.908_718_28, -723.291_990_41, -4_527.446_083_19]),
        ],
    ),
    (
        "88888: near earth, of the first report",
        "1 88888U          80275.98708465  .00073094  13844-3  66816-4 0    87",
        "2 88888  72.8435 115.9689 0086731  52.6988 110.5714 16.05824518  1058",
        [
            (0.0, [2_328.969_752_62, -5_995.220_513_38, 1_719.972_971_92]),
            (720.0, [2_567.562_296_95, -6_112.503_839_22, 713.963_744_35]),
            (1_440.0, [2_742.553_988_32, -6_079.670_091_23, -326.390_126_49]),
        ],
    ),
];

#[test]
fn satellites_are_where_the_published_cases_have_them() {
    for (name, first, second, states) in PUBLISHED {
        let orbits = Orbits::read(&format!("{first}\n{second}\n"));
        assert_eq!((orbits.all.len(), orbits.unreadable), (1, 0), "{name}");
        for (minutes, published) in states {
            let found = orbits.all[0].after(*minutes).unwrap();
            for axis in 0..3 {
                let off = (found[axis] - published[axis]).abs();
                assert!(off < 1e-6, "{name}: {found:?} is not {published:?} after {minutes} min");
            }
        }
    }
}

#[test]
fn what_is_no_element_set_is_passed_over() {
    let (_, first, second, _) = PUBLISHED[0];
    for (text, readable, unreadable) in [
        (String::new(), 0, 0),
        (format!("0 A NAME\r\n{first}\r\n{second}\r\n"), 1, 0),
        (format!("{first}\n{second}\n{first}\n{second}"), 2, 0),
        (format!("{first}\n{first}\n{second}\n"), 1, 1),
        (format!("{second}\n{first}\n"), 0, 2),
        (format!("{first}\nsomething\n{second}\n"), 1, 0),
        // Its checksum is another.
        (format!("{}8\n{second}\n", &first[..68]), 0, 1),
        (format!("{first}\n2 {}\n", "\u{fffd}".repeat(22) + "x"), 0, 1),
        ("<html>GP data has not updated</html>".to_owned(), 0, 0),
    ] {
        let orbits = Orbits::read(&text);
        assert_eq!((orbits.all.len(), orbits.unreadable), (readable, unreadable), "{text}");
    }
}

#[test]
fn an_orbit_is_good_for_two_weeks() {
    let (_, first, second, _) = PUBLISHED[1];
    let orbits = Orbits::read(&format!("{first}\n{second}\n"));
    let (orbit, epoch) = (&orbits.all[0], orbits.all[0].epoch());
    assert!(orbit.at(epoch + OLDEST).is_some());
    assert!(orbit.at(epoch + OLDEST + TimeDelta::seconds(1)).is_none());
    assert!(orbit.at(epoch - OLDEST - TimeDelta::seconds(1)).is_none());
    assert!(orbit.at(DateTime::<Utc>::MAX_UTC).is_none());
}

#[test]
fn what_is_packed_is_unpacked_within_a_bound() {
    let (_, first, second, _) = PUBLISHED[0];
    let packed = zstd::bulk::compress(format!("{first}\n{second}\n").as_bytes(), 3).unwrap();
    assert_eq!(Orbits::unpack(&packed).unwrap().all.len(), 1);
    assert!(Orbits::unpack(&packed[..packed.len() - 4]).is_err(), "it is cut off");
    assert!(Orbits::unpack(b"no zstd").is_err());
    let bomb = zstd::bulk::compress(&vec![b'1'; usize::try_from(LONGEST).unwrap() + 1], 3).unwrap();
    assert!(bomb.len() < 10_000 && Orbits::unpack(&bomb).is_err());
}
