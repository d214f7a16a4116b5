package sqlite

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/internal/embedded"
)

// A place identifies a queue: a file, how it is opened, and a name in it.
type place struct {
	path  string
	queue string
	sync  bool
}

var errNoPath = errors.New("the URL names no file")

const example = "as in sqlite:///var/lib/shop/queues.db?queue=orders, or sqlite:queues.db?queue=orders for a relative path"

func (p *place) validate() error {
	var err error
	switch {
	case p.path == "":
		err = errNoPath
	case p.queue == "":
		err = errors.New("the queue has no name")
	default:
		return nil
	}
	return &drivers.Error{Code: drivers.Invalid, Queue: p.queue, Op: "open", Err: err, Remedy: example}
}

// parse reads sqlite:///abs/file.db, sqlite://rel/file.db and sqlite:rel/file.db.
// The URL's parameter synchronous overrides sync.
func parse(u *url.URL, opts *drivers.Options, sync bool) (place, *Config, error) {
	refuse := func(err error) (place, *Config, error) {
		return place{}, nil, &drivers.Error{Code: drivers.Invalid, Op: "open", Err: err, Remedy: example}
	}
	if u.User != nil || u.Fragment != "" {
		return refuse(errors.New("a sqlite URL has only a path and parameters: write @ as %40 and # as %23"))
	}
	c, err := embedded.FromURL(u, opts, "queue", "synchronous")
	if err != nil {
		return place{}, nil, err
	}
	// The host of other schemes is the beginning of a relative path here.
	p := place{path: u.Host + u.Path, queue: defaultQueue, sync: sync}
	if u.Opaque != "" {
		if p.path, err = url.PathUnescape(u.Opaque); err != nil {
			return refuse(err)
		}
	}
	if q := u.Query(); q.Has("queue") {
		p.queue = q.Get("queue")
	}
	switch mode := u.Query().Get("synchronous"); mode {
	case "":
	case "normal":
		p.sync = false
	case "full":
		p.sync = true
	default:
		return refuse(fmt.Errorf("parameter synchronous=%q: it must be normal or full", mode))
	}
	if p.path == "/" {
		p.path = ""
	}
	return p, (*Config)(c), p.validate()
}
