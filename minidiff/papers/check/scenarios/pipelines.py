"""What drives the paired statements of the pipelines."""

from minidiff.papers.check.scenarios.driving import rand, sample, scenario


@scenario("minidiff.pipelines.ddpm")
def ddpm_pipeline(module):
    sample(module.DDPMPipeline)


@scenario("minidiff.pipelines.ddim")
def ddim_pipeline(module):
    sample(module.DDIMPipeline, eta=0.5)


@scenario("minidiff.pipelines.pndm")
def pndm_pipeline(module):
    sample(module.PNDMPipeline)


@scenario("minidiff.pipelines.guidance")
def guidance(module):
    for guidance_scale in (0.0, 1.0, 7.5):
        module.guided(rand(), rand(), guidance_scale)
