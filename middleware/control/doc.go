// Package control lets operators pause a queue, and limit how fast it is consumed, while
// its consumers run. Their request is a [State] in a [Store] that all consumers of the
// queue read; sluice pause, resume and limit write it, and package service obeys it.
//
// A [Valve] applies a state to one consumer: it is a gate, which holds back receiving, and
// middleware, which holds back messages that were received before the gate closed. Handlers
// that have begun are finished. Messages that were received and not begun stay in hand, with
// their leases kept, which spends no attempt. A Valve goes outside of all other middleware:
// a message that it holds back makes no span and no record of its own.
//
// A State is kept under the name that the queue has in the configuration. Services that
// share a store and name different queues alike need different tables or prefixes.
//
// Package open opens stores by URL. The idempotency stores in SQL and Redis have one beside
// their keys: see their method Control.
package control
