package invoke

import "github.com/sluice-go/sluice/handler"

// fault is a failure of the handler's own code that comes as an error: a panic
// that a batch handler or a middleware has caught.
type fault interface {
	error
	// FirstReport is true for the first caller, who logs the fault.
	FirstReport() bool
}

// Report returns the text and the stack of the fault that a runtime must log: p, the
// panic that [Call] caught, or, if p is nil, the panic that [Unreported] finds in err.
// ok is false if there is nothing to log.
func Report(p *handler.PanicError, err error) (text, stack string, ok bool) {
	if p == nil {
		return Unreported(err)
	}
	p.FirstReport()
	return Show(p.Value), string(p.Stack), true
}

// Unreported finds a fault of the handler's own code in err, such as the panic of a
// batch handler, which all messages of the batch share. It returns its text and, of
// a panic, its stack; ok is true for the first caller only, who reports it.
func Unreported(err error) (text, stack string, ok bool) {
	found, is := As[fault](err)
	if !is {
		return "", "", false
	}
	first := false
	if DoApart(func() { first = found.FirstReport() }) != nil || !first {
		return "", "", false
	}
	if p, is := As[*handler.PanicError](found); is {
		stack = string(p.Stack)
	}
	return Text(found), stack, true
}
