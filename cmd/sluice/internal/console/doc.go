// Package console is the web console of the sluice command: pages about all queues of a
// configuration, for the people who operate them.
//
// A [Console] polls the counts of all queues once for all viewers and keeps the last
// hour of them. Pages are made from what it knows, by html/template; scripts only
// refresh them, and everything works without. Nothing that happens in the background
// receives a message.
//
// The content security policy permits the console's own style sheet and script and
// nothing else. A request must name the console in its Host header and, if it changes
// something, in its Origin header, and carry the token of its session.
//
// The locks are leaves: no function is called with one held.
package console
