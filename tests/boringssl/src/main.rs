fn main() { println!("{}", boring::version::version()); }
