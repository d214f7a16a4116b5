// Package store is the common part of the two stores of the queue engine: the
// engine's time, receipts and message IDs, the bells that wake receives, and the
// pace of move tasks.
package store
