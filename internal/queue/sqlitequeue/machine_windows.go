package sqlitequeue

import (
	"strconv"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// uptime moves in ticks of some 15 milliseconds: by so much processes may
// disagree about the end of a lease. The runtime extends leases long before.
func uptime() (int64, bool) { return int64(windows.DurationSinceBoot()), true }

// bootID is a number that Windows counts up at each boot.
func bootID() string {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE,
		`SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters`, registry.QUERY_VALUE)
	if err != nil {
		return ""
	}
	defer k.Close()
	n, _, err := k.GetIntegerValue("BootId")
	if err != nil {
		return ""
	}
	return strconv.FormatUint(n, 10)
}
