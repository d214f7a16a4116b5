// Package redrive brings dead letters back to the queue they came from.
//
// [Run] has two ways. Native: the provider moves every letter by itself (SQS: a
// message move task; the embedded queue likewise). Selective: Sluice receives
// the letters, sends the selected ones back and deletes them. A redrive is selective
// if it has a filter or a limit, or if the provider has no native redrive.
//
// A selective redrive sends first and deletes after. A crash between the two
// doubles at most the letters of one batch (10 on SQS, up to 100 elsewhere),
// which the idempotency middleware then recognizes by their dedupe ID; it never
// loses one. Letters that do not match are held until the end, so that they are
// not received repeatedly, and then released. After a crash they become visible
// when their hold ends. It can hold only as many as the provider allows in flight
// (SQS: 120,000); it does not see letters behind those.
//
// Operations that fail for the moment are tried again a few times. A letter that the
// queue refuses permanently, such as one that is too large, stays in the dead-letter
// queue; the redrive continues with the others.
//
// A letter that is sent back keeps body, attributes, group and dedupe ID. Its
// failure attributes go into deadletter.AttributeRedriveHistory, and
// deadletter.AttributeRedriveCount counts how often it was sent back: one that was
// sent back [Options].MaxRedrives times stays, so that a poison message does not
// move between the queues forever.
package redrive
