package drivertest

import (
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// A mutant is a way in which the reference is broken. The zero mutant is sound.
type mutant struct {
	acksAreLost                 bool
	staleReceiptsWork           bool
	badEntryFailsTheRest        bool
	neverWaits                  bool
	deafToCancel                bool
	ignoresMax                  bool
	extensionsAreLost           bool
	extensionsAdd               bool
	groupsDoNotBlock            bool
	sendOvertakes               bool
	dropsWithoutDeadLetterQueue bool
	worksAfterClose             bool
	closeTwiceFails             bool
	depthCountsAllVisible       bool
	peekTakes                   bool
	purgeTakesLettersToo        bool
	ignoresContext              bool
	resurrects                  bool
	extendsAnything             bool
	expiryIsFree                bool
	releasesCount               bool
	expiredGoLast               bool
	lostAs                      drivers.Code // instead of LeaseLost
	noSizeLimit                 bool
	dropsDelays                 bool
	opensMissingLetters         bool
	redrivesToNowhere           bool
	dedupesAlways               bool
	losesHeavyBatches           bool
	redrivesDuplicates          bool
	plansForever                bool
	plansApply                  bool
	resetsUnset                 bool
	findsFaults                 bool
	peeksAll                    bool
	purgesTheQueueAlways        bool
	settlesAtMost               int // of a batch; zero is all
	extendsAtMost               int
	extraAttempts               int
	redrivenAttempt             int
	ofNothing                   []error // what a batch of nothing answers

	onCapabilities func(c *drivers.Capabilities)
	onMissing      func(err *drivers.Error) error
	onEmpty        error // what a receive of nothing fails with
	onDepth        func(d *drivers.Depth)
	onRedriven     func(r *reference, t *deadletter.Task)
	onClosed       func(r *reference)
	onSent         func(r *reference)
	onSettled      func(r *reference, x *stored, s drivers.Settlement)
	onExtended     func(x *stored)
	identify       func(m *handler.Message) string // instead of the dedupe ID

	onStored    func(sent *handler.Message, x *stored)
	onDelivered func(x *stored, d *drivers.Delivery)
	onSettling  func(s *drivers.Settlement)
	onBuried    func(x *stored)
}

func (m *mutant) stored(sent *handler.Message, x *stored) {
	if m.onStored != nil {
		m.onStored(sent, x)
	}
}

func (m *mutant) delivered(x *stored, d *drivers.Delivery) {
	if m.onDelivered != nil {
		m.onDelivered(x, d)
	}
}

func (m *mutant) settling(s *drivers.Settlement) {
	if m.onSettling != nil {
		m.onSettling(s)
	}
}

func (m *mutant) buried(x *stored) {
	if m.onBuried != nil {
		m.onBuried(x)
	}
}

func (m *mutant) capabilities(c *drivers.Capabilities) {
	if m.onCapabilities != nil {
		m.onCapabilities(c)
	}
}

func (m *mutant) missing(err *drivers.Error) error {
	if m.onMissing != nil {
		return m.onMissing(err)
	}
	return err
}

func (m *mutant) empty(ds []drivers.Delivery) error {
	if len(ds) == 0 {
		return m.onEmpty
	}
	return nil
}

func (m *mutant) depth(d *drivers.Depth) {
	if m.onDepth != nil {
		m.onDepth(d)
	}
}

func (m *mutant) redriven(r *reference, t *deadletter.Task) {
	if m.onRedriven != nil {
		m.onRedriven(r, t)
	}
}

func (m *mutant) closed(r *reference) {
	if m.onClosed != nil {
		m.onClosed(r)
	}
}

func (m *mutant) sent(r *reference) {
	if m.onSent != nil {
		m.onSent(r)
	}
}

func (m *mutant) settled(r *reference, x *stored, s drivers.Settlement) {
	if m.onSettled != nil {
		m.onSettled(r, x, s)
	}
}

func (m *mutant) extended(x *stored) {
	if m.onExtended != nil {
		m.onExtended(x)
	}
}

func (m *mutant) identity(s *handler.Message) string {
	if m.identify != nil {
		return m.identify(s)
	}
	return s.DedupeID
}
