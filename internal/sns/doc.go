// Package sns reads the JSON documents that Amazon SNS delivers to SQS queues and
// HTTP endpoints, and checks who sent them, for codec/envelope, consumer/snspush and
// inbox.
//
// A publisher chooses the names of its attributes. An attribute whose name is
// reserved by the framework, or reads like a reserved one, is dropped, so that no
// publisher can forge the fields that the topic vouches for.
package sns
