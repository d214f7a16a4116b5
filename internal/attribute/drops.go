package attribute

import (
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/seldom"
)

// NotPassedOn is what [Drops] log if a message is handed to another program.
const NotPassedOn = "attributes are not passed on: their names are reserved, or look like those of other attributes"

// Drops log that attributes were left out, once a minute. The zero Drops are ready.
// They may be used concurrently.
type Drops struct{ seldom seldom.Event }

// Log logs what happened to the named attributes of the message with that ID. It logs
// nothing if there are none. A nil log is slog.Default().
func (d *Drops) Log(log *slog.Logger, what, id string, names []string) {
	if len(names) == 0 {
		return
	}
	if missed, ok := d.seldom.Allow(time.Now(), time.Minute); ok {
		invoke.Logger(log).Warn(what, "message", id, "attributes", names, "messages_before", missed)
	}
}
