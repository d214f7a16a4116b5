// Package redrive brings dead letters back to the queue they came from.
//
// [Run] has two ways. Native: the provider moves every letter by itself (SQS: a
// message move task; the embedded queue likewise). Selective: Sluice receives
// the letters, sends those that are wanted back and deletes them. Selective is
// what a filter, a limit, or a provider without native redrive needs.
//
// A selective redrive sends first and deletes after. A crash between the two
// doubles at most the letters of one batch (10 on SQS, up to 100 elsewhere),
// which the idempotency middleware then recognises by their dedupe ID; it never
// loses one. Letters that are not wanted are held until the end, so that the
// same ones do not come again and again, and are then given back; after a crash
// they come back by themselves when their hold ends. No more can be held than the
// provider allows in flight (SQS: 120,000): what is behind them is not looked at.
//
// Operations that fail for the moment are tried again a few times. A letter that the
// queue will never take, such as one that is too large, stays in the dead-letter
// queue, and the others go on.
//
// A letter that is sent back keeps body, attributes, group and dedupe ID. Its
// failure attributes go into deadletter.AttributeRedriveHistory, and
// deadletter.AttributeRedriveCount counts how often it was sent back: one that was
// brought back [Options].MaxRedrives times stays, so that a poison
// message does not play ping-pong between the queues.
package redrive
