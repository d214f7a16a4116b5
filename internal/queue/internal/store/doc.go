// Package store holds what the two stores of the queue engine share: the engine's
// time, receipts and message IDs, the bells that wake receives, and the pace of
// move tasks.
package store
