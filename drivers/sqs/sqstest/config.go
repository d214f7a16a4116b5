package sqstest

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-go/sluice/internal/setting"
)

// DefaultRegion is the region of a server whose Config has none.
const DefaultRegion = "us-east-1"

const (
	defaultAddr          = "127.0.0.1:0"
	defaultAccountID     = "000000000000"
	defaultMaxInFlight   = 120000
	defaultPurgeInterval = time.Minute
)

// Config configures a [Server]. The zero Config, and nil, work.
type Config struct {
	// Addr is the address on which [NewServer] listens, in the form of net.Listen.
	// [New] ignores it. Empty means 127.0.0.1:0, a free port of the loopback
	// interface. The server checks no signatures: do not open it to a network.
	Addr string

	// Region is the region in ARNs. Empty means DefaultRegion. Clients may sign
	// for any region.
	Region string

	// AccountID is the account that owns the queues: twelve digits. Empty means
	// 000000000000, and then the server ignores the account in a queue URL that a
	// client sends, so that a URL of a real queue finds the queue of that name. With an AccountID, a URL of another account is
	// AWS.SimpleQueueService.NonExistentQueue.
	AccountID string

	// Clock is the time. Nil means the real time (in a testing/synctest bubble,
	// the bubble's). A [ManualClock] moves only when the test moves it. If Store
	// is set, its clock must be this one.
	Clock Clock

	// Store keeps the messages. Nil means a new store in memory, which Close
	// closes. A given engine stays open, may be shared with other servers, and
	// carries queues, attributes, tags and messages from one server to the next;
	// move tasks, the purge interval and RecreateDelay start afresh.
	Store Store

	// AccessKeyIDs are the access keys that are accepted. Nil means that anybody
	// may, unsigned requests included. Otherwise a request without a key is
	// MissingAuthenticationToken and one with another key is InvalidClientTokenId.
	// Signatures are not checked in any case.
	AccessKeyIDs []string

	// MaxInFlight is how many messages of a queue may be in flight. Zero means
	// 120,000. Beyond it a short poll of a standard queue is
	// OverLimit; long polls, and any poll of a FIFO queue, find nothing. Receives
	// at the same time may exceed it by what they get.
	MaxInFlight int

	// PurgeInterval is how long after a PurgeQueue the next one of that queue is
	// PurgeQueueInProgress. Zero means one minute, negative none.
	PurgeInterval time.Duration

	// RecreateDelay is how long after a DeleteQueue a CreateQueue of that name
	// is QueueDeletedRecently. Zero means none, which is what most tests want;
	// SQS's is 60 seconds.
	RecreateDelay time.Duration

	// KeepRequests is how many requests [Server.Requests] remembers. Zero means
	// none; they are counted in any case.
	KeepRequests int

	// Seed makes faults with a Probability strike in the same order again. Zero
	// is a seed like any other.
	Seed uint64
}

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	d.Addr = cmp.Or(d.Addr, defaultAddr)
	d.Region = cmp.Or(d.Region, DefaultRegion)
	d.PurgeInterval = cmp.Or(d.PurgeInterval, defaultPurgeInterval)
	if d.Clock == nil {
		d.Clock = realClock{}
	}
	account := d.AccountID == "" || len(d.AccountID) == 12 && strings.Trim(d.AccountID, "0123456789") == ""
	if err := errors.Join(
		setting.Refuse(!account, "AccountID is %q: it must be twelve digits", d.AccountID),
		setting.Refuse(strings.ContainsAny(d.Region, ": /"), "Region is %q, which is not the name of a region", d.Region),
		setting.Default("MaxInFlight", &d.MaxInFlight, defaultMaxInFlight),
		setting.NotNegative("RecreateDelay", d.RecreateDelay),
		setting.NotNegative("KeepRequests", d.KeepRequests),
	); err != nil {
		return d, fmt.Errorf("sqstest: %w", err)
	}
	return d, nil
}
