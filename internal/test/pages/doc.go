// Package pages holds the documentation site to what it shows. Its tests compile the Go
// blocks of the pages, load their configurations, run their console sessions and compare
// the output, draw the pictures from their texts, and write the reference of sluice.yaml
// from its schema.
//
// # Blocks
//
// The kind of a block is the first word after its fence:
//
//	go       compiles. A block without a package clause is one file of a package that
//	         all such blocks of its page share, with the imports that it needs. A block
//	         with imports, or with a package clause, stands alone.
//	yaml     is YAML, and a configuration loads if it has queues or service at its top
//	json     is JSON
//	python   parses as Python, javascript as JavaScript
//	console  is a session in a shell; see below
//	sh       is commands, which run as those of indented blocks do, in a folder with queues,
//	         but for those of a list in the test, with the reason: they need a cloud
//	         account, a cluster or a bucket. Package archtest holds that all parse.
//
// # Sessions
//
// All console blocks of a page are one session, in a folder of its own. A block with
// title="FILE" is written to that file when the session reaches it. A line that begins
// with "$ " is a command, with its further lines after "> ", and the lines below it are
// its output. "…" stands for any text, and a line "…" for any lines. Times, durations
// and ports of the loopback interface are not compared. A command must succeed.
//
// A block with title="second terminal" is typed into another shell. Its last command may
// go on running while the session goes on; a line "^C" interrupts it.
package pages
