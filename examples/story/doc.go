// Package story holds story.sh, which follows some poison messages with the command
// sluice alone, from the making of the queue to the redrive. Its test
// runs it on LocalStack and on the Pub/Sub fake.
package story
