package guest

import "time"

// An agent may send what was not asked for (heartbeats, late answers) at this
// rate. A heartbeat a second and an answer after its call now and then stay far below;
// answers to calls are bounded by the calls.
const (
	budgetBurst  = 2000 // units
	budgetRefill = 200  // units a second
	budgetUnit   = 4096 // bytes of payload; a frame costs at least one unit
)

// budget is a token bucket. The zero value is empty and fills from the epoch on,
// that is: full at its first use.
type budget struct {
	units float64
	at    time.Time
}

// spend takes the price of a frame and reports whether it was there.
func (b *budget) spend(payload int, now time.Time) bool {
	b.units = min(budgetBurst, b.units+now.Sub(b.at).Seconds()*budgetRefill)
	b.at = now
	price := 1 + float64(payload/budgetUnit)
	if b.units < price {
		return false
	}
	b.units -= price
	return true
}
