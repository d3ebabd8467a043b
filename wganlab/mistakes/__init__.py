r"""Wrong twins of right functions, and ``audit``, which finds them in a penalty of your own.

Most bugs of this field raise no error: a critic trains, a curve falls, and the number is not what
its name says. ``ZOO`` keeps such bugs by name, each with a right twin, the number that shows it,
the project where it was seen, and a check that tells the two apart. ``audit`` calls any gradient
penalty with critics of known slopes and says which of them it has;
``audit_step`` does the same for a whole training step.

>>> ZOO["global-norm"].check(ZOO["global-norm"].wrong)
False
>>> audit(ZOO["global-norm"].right).ok
True
"""

from .examination import audit
from .examination.report import Finding, Report
from .examination.steps import audit_step
from .zoo import ZOO
from .zoo.entry import Entry

__all__ = ["ZOO", "Entry", "Finding", "Report", "audit", "audit_step"]
