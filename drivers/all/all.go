// Package all opens a queue of any provider by its URL. It is for programs that
// open whatever URL they are given, such as the sluice command, and links the SDK
// of every provider. A program that knows its provider lists that one:
//
//	mux := drivers.NewMux(&sqs.Opener{})
package all

import (
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud/natscloud"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/drivers/sqlite"
	"github.com/sluice-go/sluice/drivers/sqs"
)

// Mux returns a mux of every driver, with the default settings. Each call
// returns a new one; queues in memory are those of one mux.
func Mux() *drivers.Mux { return drivers.NewMux(Openers()...) }

// Openers returns new openers, one a driver, as [Mux] has them: for programs that
// replace one, or look for their optional interfaces.
func Openers() []drivers.Opener {
	return []drivers.Opener{&sqs.Opener{}, &pubsub.Opener{}, &mem.Opener{}, &sqlite.Opener{}, &natscloud.Opener{}}
}
